//! What is taken of a call: computed once for each tracepoint from its prototype, followed at each hit.

use crate::abi::convention::Cursor;
use crate::abi::location::{Location, Register};
use crate::base::machine::Machine;
use crate::proto::types::{Format, Lens, Type};
use crate::proto::{Param, Prototype};

/// Where the arguments of a tracepoint's calls are, and which of them lead to memory.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Where each parameter is, in their order.
    pub locations: Box<[Location]>,
    /// Stands behind them, where the arguments are that a format tells of.
    pub behind: Cursor,
    /// How many of the parameters are shown at entry.
    pub at_entry: usize,
    /// The first parameter that is a format, by its index from 0.
    pub format: Option<(usize, Format)>,
    /// Arguments tell how much of the result is shown.
    pub result_by_arguments: bool,
    /// Which of the six general argument registers (bit 0 is `rdi`) point to something that is shown at
    /// entry, so that it is worth reading with the stack.
    pub pointers: u8,
    /// Each argument is in a general register of its own, and shown at entry.
    pub is_flat: bool,
}

impl Capture {
    /// The capture for calls of a function with this prototype, in code for this machine.
    pub fn of(prototype: &Prototype, machine: Machine) -> Capture {
        let mut cursor = Cursor::new(machine, &prototype.result);
        let mut locations: Vec<Location> = Vec::with_capacity(prototype.params.len());
        for param in &prototype.params {
            let shown_before = match &param.ty {
                Type::Shown(Lens::Again(argument), _) => {
                    let known = argument.checked_sub(1).and_then(|n| locations.get(n));
                    Some(known.copied().unwrap_or(Location::Nowhere))
                }
                _ => None,
            };
            locations.push(shown_before.unwrap_or_else(|| cursor.next(&param.ty)));
        }
        let at_entry = prototype.shown_at_entry();
        let shown = prototype.params.iter().zip(&locations).take(at_entry);
        let pointers = shown.filter_map(pointer).fold(0, |mask, n| mask | 1 << n);
        let formats = prototype.params.iter().enumerate();
        let mut formats = formats.filter_map(|(index, param)| Some((index, param.ty.format()?)));
        let format = formats.next();
        let result_by_arguments = prototype.result.needs_arguments();
        let is_general = |location: &Location| {
            matches!(location, Location::Registers(Register::General(_), None))
        };
        let is_flat = machine == Machine::Amd64
            && format.is_none()
            && !result_by_arguments
            && at_entry == locations.len()
            && locations.iter().all(is_general);
        Capture {
            format,
            locations: locations.into(),
            behind: cursor,
            at_entry,
            result_by_arguments,
            pointers,
            is_flat,
        }
    }
}

/// The register of a parameter that points to something that is shown.
fn pointer((param, location): (&Param, &Location)) -> Option<u8> {
    match (param.ty.unshown(), location) {
        (Type::Pointer(to), Location::Registers(Register::General(number), None)) => {
            (to.is_complete() && !param.ty.is_hidden()).then_some(*number)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Capture;
    use crate::base::machine::Machine;
    use crate::proto::tests::prototype;

    #[track_caller]
    fn check(function: &str, pointers: u8) {
        let prototype = prototype(function, "f");
        let capture = Capture::of(&prototype, Machine::Amd64);
        assert_eq!(capture.pointers, pointers, "{function}");
        assert_eq!(Capture::of(&prototype, Machine::I386).pointers, 0);
    }

    #[test]
    fn pointers_to_what_is_shown_at_entry() {
        check("void f(string, int, string, addr, hide(string))", 0b00101);
        check("void f(double, string, +string, string)", 0b1);
        check("void f(int,int,int,int,int,int,string)", 0);
        check("void f(string, struct(int), string)", 0b101);
        check(
            "void f(string, struct(double), struct(string), string)",
            0b101,
        );
    }
}
