//! C headers as prototype files: declarations of functions, structures, enumerations and typedefs. What a preprocessor
//! would do is not done: a header that needs it is given as `cc -E` leaves it.

mod declarator;
mod expr;
mod lexer;
mod structure;
#[cfg(test)]
mod tests;
mod types;

use super::complaint::{Complaint, Severity};
use super::parse::Parsed;
use super::types::Type;
use lexer::{Spot, Token, Word};
use std::collections::HashMap;
use types::Meaning;

/// So many mistakes are told.
const MOST_COMPLAINTS: usize = 20;

/// Why something cannot be understood, and where.
#[derive(Debug)]
struct Fault {
    at: Spot,
    message: String,
}

/// A header on its way into what it says.
struct Reader<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    /// Values of enumerations.
    constants: HashMap<&'t str, u64>,
    /// Structures, unions and enumerations by their tags.
    tags: HashMap<&'t str, Type>,
    /// What names of types mean.
    typedefs: HashMap<&'t str, Meaning>,
    parsed: Parsed,
}

/// Reads a header's text: the declarations that were understood, and complaints about the others.
pub fn parse(file_name: &str, text: &str) -> (Parsed, Vec<Complaint>) {
    let tokens = lexer::tokens(file_name, text);
    let files = tokens.files;
    let mut reader = Reader {
        tokens: tokens.all,
        at: 0,
        constants: HashMap::new(),
        tags: HashMap::new(),
        typedefs: HashMap::new(),
        parsed: Parsed::default(),
    };
    let mut complaints = Vec::new();
    while reader.peek() != Word::End {
        let from = reader.at;
        if let Err(Fault { at, message }) = reader.declaration() {
            reader.skip_declaration(from);
            if complaints.len() < MOST_COMPLAINTS {
                complaints.push(Complaint {
                    file: files.get(at.file).cloned().unwrap_or_default(),
                    line: at.line,
                    column: at.column,
                    severity: Severity::Error,
                    message,
                });
            }
        }
    }
    for (name, meaning) in reader.typedefs {
        let ty = meaning.member();
        reader.parsed.typedefs.insert(name.to_owned(), ty);
    }
    (reader.parsed, complaints)
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Word<'t> {
        self.peek_at(0)
    }

    /// The word so many behind the next one.
    fn peek_at(&self, ahead: usize) -> Word<'t> {
        self.tokens
            .get(self.at + ahead)
            .map_or(Word::End, |token| token.word)
    }

    fn next(&mut self) -> Word<'t> {
        let word = self.peek();
        self.at = (self.at + 1).min(self.tokens.len());
        word
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Word::Mark(mark);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: char) -> Result<(), Fault> {
        match self.eat(mark) {
            true => Ok(()),
            false => Err(self.fault(&format!("expected '{mark}', got {}", shown(self.peek())))),
        }
    }

    fn fault(&self, message: &str) -> Fault {
        let last = self.tokens.len().saturating_sub(1);
        let token = self.tokens.get(self.at.min(last));
        Fault {
            at: token.map_or(
                Spot {
                    file: 0,
                    line: 1,
                    column: 1,
                },
                |token| token.at,
            ),
            message: message.to_owned(),
        }
    }

    /// Goes on behind the declaration that began there: past its `;`, or its body.
    fn skip_declaration(&mut self, from: usize) {
        self.at = from;
        loop {
            match self.peek() {
                Word::End => return,
                Word::Mark(';') => {
                    self.next();
                    return;
                }
                Word::Mark('{') => {
                    self.skip_pair();
                    // Of a function that is all; behind a structure there may be names.
                    if !matches!(self.peek(), Word::Mark(';' | '*' | ',') | Word::Name(_))
                        || self.begins_type()
                    {
                        return;
                    }
                }
                Word::Mark('(' | '[') => self.skip_pair(),
                _ => {
                    self.next();
                }
            }
        }
    }

    /// Past a parenthesis and what it encloses; up to the declaration's end where it is not closed.
    fn skip_pair(&mut self) {
        let (mut open, mut braces) = (0_usize, 0_usize);
        loop {
            if braces == 0 && self.peek() == Word::Mark(';') {
                return;
            }
            let word = self.next();
            match word {
                Word::End => return,
                Word::Mark('(' | '[' | '{') => open += 1,
                Word::Mark(')' | ']' | '}') => open = open.saturating_sub(1),
                _ => {}
            }
            match word {
                Word::Mark('{') => braces += 1,
                Word::Mark('}') => braces = braces.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
    }
}

/// A word as a message names it.
fn shown(word: Word<'_>) -> String {
    match word {
        Word::Name(name) => format!("'{}'", name.chars().take(40).collect::<String>()),
        Word::Number(number) => format!("'{number}'"),
        Word::Text => "a text".to_owned(),
        Word::Mark(mark) => format!("'{mark}'"),
        Word::Shift(mark) => format!("'{mark}{mark}'"),
        Word::Dots => "'...'".to_owned(),
        Word::End => "the end of the file".to_owned(),
    }
}
