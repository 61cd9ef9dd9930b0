//! Reads a pair spec: first each function as it is written, then what its names mean.

use super::lexer::{Lexer, Token};
use super::{Form, Function, Operator, Pair, PairError, Param, Source, Test, Width};

/// No function that hands something out has more.
const MOST_PARAMS: usize = 16;
/// `out int fd[2]` and the like: what one call may hand out at once.
const MOST_AT_ONCE: i64 = 16;

/// A function as it is written.
struct Written {
    names: Vec<String>,
    place: usize,
    params: Vec<WrittenParam>,
    result: Option<Name>,
    tests: Vec<WrittenTest>,
    reasons: Vec<(i64, String)>,
}

#[derive(Clone)]
struct Name {
    name: String,
    place: usize,
    width: Option<Width>,
}

/// `_` has no name.
struct WrittenParam {
    name: Option<Name>,
    /// How many values it points to, if it is an `out`.
    out: Option<u8>,
}

struct WrittenTest {
    name: Name,
    operator: Operator,
    number: i64,
}

pub(super) fn pair(text: &str) -> Result<Pair, PairError> {
    let mut lexer = Lexer::new(text)?;
    let acquire = Written::acquire(&mut lexer)?;
    let arrow = lexer.place();
    let form = match lexer.next() {
        Token::Arrow => Form::Owned,
        Token::CountArrow => Form::Counted,
        Token::End if acquire.param("old").is_some() => Form::Replace,
        Token::End => {
            let text = "`->` and the function that takes it back are missing here";
            return Err(lexer.error_at(arrow, text));
        }
        _ => return Err(lexer.error_at(arrow, "`->` is missing before here")),
    };
    let mut releases = Vec::new();
    if form != Form::Replace {
        releases.push(Written::release(&mut lexer)?);
        while lexer.eat(&Token::Sign('|')) {
            releases.push(Written::release(&mut lexer)?);
        }
    }
    if *lexer.peek() != Token::End {
        return Err(lexer.error("nothing more can stand here"));
    }
    resolve(&lexer, text, form, &acquire, &releases)
}

impl Written {
    fn acquire(lexer: &mut Lexer) -> Result<Written, PairError> {
        let mut function = Written::names(lexer)?;
        if *lexer.peek() == Token::Sign('(') {
            function.params = params(lexer)?;
        }
        if lexer.eat(&Token::Sign('=')) {
            let name = name(lexer, "a name for the result")?;
            if let Some((operator, number)) = comparison(lexer)? {
                let name = name.clone();
                function.tests.push(WrittenTest {
                    name,
                    operator,
                    number,
                });
            }
            function.result = Some(name);
        }
        function.conditions(lexer)?;
        Ok(function)
    }

    fn release(lexer: &mut Lexer) -> Result<Written, PairError> {
        let mut function = Written::names(lexer)?;
        if *lexer.peek() != Token::Sign('(') {
            return Err(lexer.error("`(` and what is taken back are missing here"));
        }
        function.params = params(lexer)?;
        function.conditions(lexer)?;
        if lexer.eat_word("else") {
            loop {
                let reason = name(lexer, "the name of a result")?;
                lexer.expect('=', " and the result")?;
                function.reasons.push((number(lexer)?, reason.name));
                if !lexer.eat(&Token::Sign(',')) {
                    break;
                }
            }
        }
        Ok(function)
    }

    fn names(lexer: &mut Lexer) -> Result<Written, PairError> {
        let place = lexer.place();
        let mut names = Vec::new();
        loop {
            match lexer.peek() {
                Token::Name(name) => names.push(name.clone()),
                _ => return Err(lexer.error("a function is missing here")),
            }
            lexer.next();
            if !lexer.eat(&Token::Sign(',')) {
                break;
            }
        }
        Ok(Written {
            names,
            place,
            params: Vec::new(),
            result: None,
            tests: Vec::new(),
            reasons: Vec::new(),
        })
    }

    fn conditions(&mut self, lexer: &mut Lexer) -> Result<(), PairError> {
        if !lexer.eat_word("if") {
            return Ok(());
        }
        loop {
            let name = name(lexer, "a name to compare")?;
            let Some((operator, number)) = comparison(lexer)? else {
                return Err(lexer.error("a comparison is missing here, such as `==0`"));
            };
            self.tests.push(WrittenTest {
                name,
                operator,
                number,
            });
            if !lexer.eat(&Token::And) {
                return Ok(());
            }
        }
    }

    fn param(&self, name: &str) -> Option<usize> {
        let is_it = |param: &WrittenParam| param.name.as_ref().is_some_and(|n| n.name == name);
        self.params.iter().position(is_it)
    }

    fn source(&self, name: &str) -> Option<Source> {
        let is_result = name == "ret" || self.result.as_ref().is_some_and(|n| n.name == name);
        match is_result {
            true => Some(Source::Result),
            false => self.param(name).map(Source::Param),
        }
    }

    /// Every place where it is named.
    fn mentions(&self) -> impl Iterator<Item = &Name> {
        let params = self.params.iter().filter_map(|param| param.name.as_ref());
        let tests = self.tests.iter().map(|test| &test.name);
        params.chain(&self.result).chain(tests)
    }
}

fn params(lexer: &mut Lexer) -> Result<Vec<WrittenParam>, PairError> {
    lexer.next();
    let mut params: Vec<WrittenParam> = Vec::new();
    if lexer.eat(&Token::Sign(')')) {
        return Ok(params);
    }
    loop {
        if params.len() == MOST_PARAMS {
            return Err(lexer.error(format!("more than {MOST_PARAMS} parameters")));
        }
        let param = param(lexer)?;
        if let Some(name) = &param.name {
            let same =
                |other: &WrittenParam| other.name.as_ref().is_some_and(|n| n.name == name.name);
            if params.iter().any(same) {
                let text = format!("`{}` is named twice", name.name);
                return Err(lexer.error_at(name.place, text));
            }
        }
        params.push(param);
        if lexer.eat(&Token::Sign(')')) {
            return Ok(params);
        }
        lexer.expect(',', ", or `)`")?;
    }
}

fn param(lexer: &mut Lexer) -> Result<WrittenParam, PairError> {
    if lexer.eat_word("_") {
        return Ok(WrittenParam {
            name: None,
            out: None,
        });
    }
    let is_out = lexer.eat_word("out");
    let name = Some(name(lexer, "a parameter's name or `_`")?);
    let place = lexer.place();
    if !lexer.eat(&Token::Sign('[')) {
        let out = is_out.then_some(1);
        return Ok(WrittenParam { name, out });
    }
    let count = number(lexer)?;
    lexer.expect(']', "")?;
    match u8::try_from(count) {
        Ok(count) if is_out && (1..=MOST_AT_ONCE).contains(&i64::from(count)) => Ok(WrittenParam {
            name,
            out: Some(count),
        }),
        _ if !is_out => Err(lexer.error_at(place, "only an `out` can be several")),
        _ => Err(lexer.error_at(place, format!("this can be 1 to {MOST_AT_ONCE}"))),
    }
}

/// A name that is no word of the language, with its type.
fn name(lexer: &mut Lexer, what: &str) -> Result<Name, PairError> {
    let width = match lexer.peek() {
        Token::Name(word) if word == "int" => Some(Width::Int),
        Token::Name(word) if word == "long" => Some(Width::Word),
        _ => None,
    };
    if width.is_some() {
        lexer.next();
    }
    let place = lexer.place();
    match lexer.peek().clone() {
        Token::Name(name) if !is_word(&name) => {
            lexer.next();
            Ok(Name { name, place, width })
        }
        _ => Err(lexer.error(format!("{what} is missing here"))),
    }
}

fn is_word(name: &str) -> bool {
    matches!(name, "_" | "out" | "int" | "long" | "if" | "else")
}

fn comparison(lexer: &mut Lexer) -> Result<Option<(Operator, i64)>, PairError> {
    let Token::Compare(operator) = *lexer.peek() else {
        return Ok(None);
    };
    lexer.next();
    Ok(Some((operator, number(lexer)?)))
}

fn number(lexer: &mut Lexer) -> Result<i64, PairError> {
    let Token::Number(number) = *lexer.peek() else {
        return Err(lexer.error("a number is missing here"));
    };
    lexer.next();
    Ok(number)
}

fn resolve(
    lexer: &Lexer,
    text: &str,
    form: Form,
    acquire: &Written,
    releases: &[Written],
) -> Result<Pair, PairError> {
    let (key, released) = match form {
        Form::Replace => ("new".to_owned(), Vec::new()),
        Form::Owned | Form::Counted => {
            let shared = |release| shared(lexer, acquire, release);
            let names: Vec<String> = releases.iter().map(shared).collect::<Result<_, _>>()?;
            let first = names.first().cloned().unwrap_or_default();
            if let Some(at) = names.iter().position(|name| *name != first) {
                let place = releases.get(at).map_or(0, |release| release.place);
                return Err(lexer.error_at(
                    place,
                    format!("this takes back something else than `{first}`"),
                ));
            }
            (first, names)
        }
    };
    let widths = |of: &Written, name: &str| match name {
        // Each function has its own.
        "ret" => width(name, of, &[]),
        _ => width(name, acquire, releases),
    };
    let resolved = function(lexer, acquire, &key, &widths)?;
    let releases = releases
        .iter()
        .zip(&released)
        .map(|(release, key)| function(lexer, release, key, &widths))
        .collect::<Result<_, _>>()?;
    Ok(Pair {
        text: text.trim().to_owned(),
        acquire: resolved,
        releases,
        form,
    })
}

/// The one name of the release that the acquiring side has too.
fn shared(lexer: &Lexer, acquire: &Written, release: &Written) -> Result<String, PairError> {
    let named = release
        .params
        .iter()
        .filter_map(|param| param.name.as_ref());
    let mut keys = named.filter(|name| !matches!(name.name.as_str(), "size" | "count"));
    let wanted = |name: &&Name| acquire.source(&name.name).is_some();
    match keys.clone().find(wanted) {
        Some(name) => Ok(name.name.clone()),
        None => Err(match keys.next() {
            Some(name) => lexer.error_at(
                name.place,
                format!("`{}` is named nowhere before the arrow", name.name),
            ),
            None => lexer.error_at(release.place, "this names nothing that it takes back"),
        }),
    }
}

/// As it is written somewhere, or else by what it is compared with.
fn width(name: &str, acquire: &Written, releases: &[Written]) -> Width {
    let functions = || std::iter::once(acquire).chain(releases);
    let told = functions()
        .flat_map(Written::mentions)
        .find_map(|n| n.width.filter(|_| n.name == name));
    let ordered = functions()
        .flat_map(|f| &f.tests)
        .any(|test| test.name.name == name && test.operator.is_order());
    match told {
        Some(width) => width,
        None if ordered || name == "ret" => Width::Int,
        None => Width::Word,
    }
}

fn function(
    lexer: &Lexer,
    written: &Written,
    key: &str,
    widths: &dyn Fn(&Written, &str) -> Width,
) -> Result<Function, PairError> {
    let Some(key) = written.source(key) else {
        return Err(lexer.error_at(written.place, format!("this does not say what `{key}` is")));
    };
    let param = |param: &WrittenParam| match (&param.name, param.out) {
        (None, _) => Param::Unused,
        (Some(name), None) => Param::In(widths(written, &name.name)),
        (Some(name), Some(count)) => Param::Out(widths(written, &name.name), count),
    };
    let test = |test: &WrittenTest| match written.source(&test.name.name) {
        Some(source) => Ok(Test {
            source,
            operator: test.operator,
            number: test.number,
        }),
        None => Err(lexer.error_at(
            test.name.place,
            format!("`{}` is no name of this function's", test.name.name),
        )),
    };
    Ok(Function {
        names: written.names.clone(),
        params: written.params.iter().map(param).collect(),
        result: widths(
            written,
            written.result.as_ref().map_or("ret", |name| &name.name),
        ),
        key,
        sizes: ["size", "count"]
            .into_iter()
            .filter_map(|name| written.param(name))
            .collect(),
        old: written.param("old"),
        tests: written.tests.iter().map(test).collect::<Result<_, _>>()?,
        reasons: written.reasons.clone(),
    })
}
