//! Names, and what they tell together with code.

use super::{Around, Classes, prototype};
use proptest::prelude::*;

const AT: u64 = 0x1000;

/// `mov rax, register` for each of the first argument registers.
fn code_reading(registers: usize) -> Vec<u8> {
    const MOVES: [[u8; 3]; 6] = [
        [0x48, 0x89, 0xf8],
        [0x48, 0x89, 0xf0],
        [0x48, 0x89, 0xd0],
        [0x48, 0x89, 0xc8],
        [0x4c, 0x89, 0xc0],
        [0x4c, 0x89, 0xc8],
    ];
    let mut code = MOVES[..registers].concat();
    code.push(0xc3);
    code
}

/// How a function with this code is typed, without its name.
fn typed_by(symbol: &str, code: &[u8], names: &[u8]) -> Option<String> {
    let mut classes = Classes::default();
    classes.add(names);
    let from = |at: u64| {
        let offset = at.checked_sub(AT).and_then(|n| usize::try_from(n).ok());
        offset
            .and_then(|offset| code.get(offset..))
            .unwrap_or_default()
    };
    let around = Around {
        code: &from,
        classes: &classes,
    };
    let prototype = prototype(symbol, AT, around)?;
    Some(prototype.to_string().replace(symbol, ""))
}

/// The function reads so many registers.
#[track_caller]
fn check(symbol: &str, registers: usize, expected: &str) {
    let typed = typed_by(symbol, &code_reading(registers), b"");
    let typed = typed.unwrap_or_else(|| "?".to_owned());
    assert_eq!(typed, expected, "{symbol}");
}

#[test]
fn types_of_the_language() {
    check(
        "_Z1fbcahstijlmxy",
        6,
        "guess(long) (bool(uint8), char, ascii(char), char(uint8), short, ushort, int, uint, long, ulong, long, ulong)",
    );
    check(
        "_Z1ffdeCd",
        0,
        "guess(long) (float, double, ldouble, struct(double, double))",
    );
    check("_Z1fv", 0, "guess(long) ()");
    check("_Z1fPKcz", 6, "guess(long) (string(array(char, zero)*))");
    check(
        "_Z1fPcPKwRcRKi",
        4,
        "guess(long) (string(array(char, zero)*), string(array(char(int), zero)*), char*, int*)",
    );
    check(
        "_Z1fPPcPvPFviEPK3Foo",
        4,
        "guess(long) (void**, void*, void*, void*)",
    );
    check(
        "_Z1fRA6_cRA3_i",
        2,
        "guess(long) (string(array(char, zero(6)))*, array(int, 3)*)",
    );
    check(
        "_Z1fMN1a1BEiMS0_FvvEi",
        4,
        "guess(long) (long, struct(void*, long), int)",
    );
    check(
        "_Z1fDnDsDiDu",
        4,
        "guess(long) (void*, char(ushort), char(uint), char(uint8))",
    );
    check(
        "_Z1fnPU8__unusedi",
        3,
        "guess(long) (struct(hex(uint64), hex(uint64)), int*)",
    );
}

#[test]
fn types_of_the_library() {
    let check = |symbol: &str, registers, params: &str| {
        check(symbol, registers, &format!("guess(long) ({params})"));
    };
    let string = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";
    check(
        &format!("_Z1fRK{string}RS4_"),
        2,
        "contents(struct)*, contents(struct)*",
    );
    check(
        "_Z1fRKSsRKSt6vectorIiSaIiEE",
        2,
        "contents(struct)*, contents(struct)*",
    );
    check(
        "_Z1fSt17basic_string_viewIcSt11char_traitsIcEEi",
        3,
        "contents(struct), int",
    );
    check("_Z1fiSt26random_access_iterator_tagi", 2, "int, int");
    check(
        "_Z1fRSoPSt6vectorIbSaIbEE3Foo",
        3,
        "void*, void*, guess(long)",
    );
}

#[test]
fn results_of_templates() {
    check("_Z3maxIiET_S0_S0_", 2, "int (int, int)");
    check("_Z3sumIiJdcEET_S0_DpT0_", 2, "int (int, double, char)");
    check("_Z3refIJRiPKcEEvDpOT_", 2, "void (int*, void**)");
    // Where the string goes is in the first register.
    check(
        "_Z4joinIcENSt7__cxx1112basic_stringIT_St11char_traitsIS2_ESaIS2_EEEPKc",
        2,
        "contents(struct) (string(array(char, zero)*))",
    );
    check("_ZNK1AcvbEv", 1, "bool(uint8) (void* this)");
    check("_ZeqRK1AS1_", 2, "bool(uint8) (void*, void*)");
}

#[test]
fn what_comes_before_the_parameters() {
    // A constructor, and one of an object with virtual bases.
    check("_ZN1AC1Ei", 2, "void (void* this, int)");
    check("_ZN1AC2Ei", 3, "void (void* this, hide(void*), int)");
    check("_ZN1AC1Ei", 4, "?");
    check("_ZNK1A1fEi", 2, "guess(long) (void* this, int)");
    check("_ZNK1A1fEi", 1, "guess(long) (void* this, int)");
    check(
        "_ZNK1A1fEi",
        3,
        "guess(long) (hide(void*), void* this, int)",
    );
    check("_ZN3BoxIiE1fEi", 2, "guess(long) (void* this, int)");
    check("_ZN3BoxIiE1fEi", 1, "guess(long) (int)");
    check("_ZN3BoxIiE4_S_fEi", 2, "guess(long) (hide(void*), int)");
    check("_ZN3BoxIiEdlEPv", 1, "guess(long) (void*)");
    check("_ZTv0_n24_N1A1fEv", 1, "guess(long) (void* this)");
    check("_ZSt3fooi", 2, "guess(long) (hide(void*), int)");
    check("_ZSt3fooi", 3, "?");
    // It may be in a class or in a namespace.
    check("_ZN1a1fEi", 2, "guess(long) (void*, int)");
    check("_ZN1a1fEi", 1, "guess(long) (int)");
    check("_ZN1a1fERKS_", 2, "guess(long) (void* this, void*)");
    check("_ZZ1fiEN1A1gEv", 1, "guess(long) (void* this)");
    check(
        "_ZZ1fiENKUlPKcE_clES0_",
        2,
        "guess(long) (void* this, string(array(char, zero)*))",
    );
}

#[test]
fn classes_by_what_only_they_have() {
    for names in [
        "_ZN1a1bC2Ev",
        "_ZNK1a1b1fEv",
        "_ZNK1a1beqERKS0_",
        "_ZTVN1a1bE",
        "x\0_ZTIN1a1bE\0",
    ] {
        let typed = typed_by("_ZN1a1b1gEi", &code_reading(0), names.as_bytes());
        assert_eq!(
            typed.as_deref(),
            Some("guess(long) (void* this, int)"),
            "{names}"
        );
    }
    for names in [
        "_ZN1a1bEv",
        "_ZN1a1b1fEv",
        "_ZNK1a1bIiE1fEv",
        "_ZTVN1a1b1cE",
        "_ZTIN99a",
        "_ZNK1a1b",
    ] {
        let typed = typed_by("_ZN1a1b1gEi", &code_reading(0), names.as_bytes());
        assert_eq!(typed.as_deref(), Some("guess(long) (int)"), "{names}");
    }
    // What is around a class is a namespace, if it is no class itself.
    let typed = |names: &str| typed_by("_ZN1a1gEi", &code_reading(2), names.as_bytes());
    let building = typed("_ZN1a1bC2Ev");
    assert_eq!(building.as_deref(), Some("guess(long) (hide(void*), int)"));
    let nested = typed("_ZN1a1bC2Ev\0_ZN1aC2Ev");
    assert_eq!(nested.as_deref(), Some("guess(long) (void* this, int)"));
}

#[test]
fn names_that_tell_nothing() {
    for symbol in [
        "malloc",
        "_Z",
        "_ZN1A1xE",
        "_ZTV1A",
        "_ZGVZ1fvE1x",
        "_Z1fi.isra.0",
        "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
        "_Z1fS_",
        "_Z1fDTfp_E",
        "_Z1fSt8optionalIiE",
    ] {
        check(symbol, 1, "?");
    }
}

/// Of a call, what is left in its register may be meant for the function that is called.
#[test]
fn registers_that_are_handed_on() {
    let typed = |code: &[u8]| typed_by("_ZN3BoxIiE1fEi", code, b"");
    // mov eax, edi; call through a pointer that is not in the file
    let unknown = [0x89, 0xf8, 0xff, 0x15, 0, 0, 0, 0, 0xc3];
    assert_eq!(typed(&unknown), None);
    // mov eax, edi; call a function behind it, which reads esi
    let known = [0x89, 0xf8, 0xe8, 1, 0, 0, 0, 0xc3, 0x89, 0xf0, 0xc3];
    assert_eq!(
        typed(&known).as_deref(),
        Some("guess(long) (void* this, int)")
    );
    // xor esi, esi; mov eax, esi: what it reads is its own.
    let cleared = [0x31, 0xf6, 0x89, 0xf0, 0x89, 0xf8, 0xc3];
    assert_eq!(typed(&cleared).as_deref(), Some("guess(long) (int)"));
    // A loop without end.
    assert!(typed(&[0xeb, 0xfe]).is_some());
}

proptest! {
    #[test]
    fn any_name_and_any_code_is_taken(
        symbol in "_Z(N?K?|T[hv]n?[0-9]_|Z)[A-Za-z0-9_]{0,40}",
        code in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = typed_by(&symbol, &code, symbol.as_bytes());
    }

    #[test]
    fn any_grammar_is_taken(parts in proptest::collection::vec(
        proptest::sample::select(vec![
            "N", "E", "I", "S_", "S0_", "St", "1a", "3foo", "C1", "D2", "P", "R", "K", "F", "v", "i", "c", "X", "L", "J", "Dp",
            "T_", "T0_", "DT", "cl", "sr", "fp_", "Z", "A3_", "M", "Ul", "_", "z", "cv", "plT_T_",
        ]), 0..60)) {
        let symbol = format!("_Z{}", parts.concat());
        let _ = typed_by(&symbol, &code_reading(3), b"");
    }
}
