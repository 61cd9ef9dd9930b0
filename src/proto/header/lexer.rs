//! The words of a C header, with where they stand. Comments say nothing, and lines of the preprocessor only which line
//! of which file follows.

/// More words than a header has once all that it includes is in it.
const MOST: usize = 8 << 20;

/// One word.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) word: Word<'t>,
    pub(super) at: Spot,
}

/// Where a word stands: a line and column from 1, and the file by its number in [`Tokens::files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word<'t> {
    Name(&'t str),
    Number(u64),
    Text,
    Mark(char),
    /// `<<` and `>>`
    Shift(char),
    /// `...`
    Dots,
    End,
}

/// All words of a text.
pub(super) struct Tokens<'t> {
    pub(super) all: Vec<Token<'t>>,
    pub(super) files: Vec<String>,
}

struct Lexer<'t> {
    rest: &'t str,
    at: Spot,
    tokens: Tokens<'t>,
}

/// Reads the words of a file.
pub(super) fn tokens<'t>(file_name: &str, text: &'t str) -> Tokens<'t> {
    let mut lexer = Lexer {
        rest: text,
        at: Spot {
            file: 0,
            line: 1,
            column: 1,
        },
        tokens: Tokens {
            all: Vec::new(),
            files: vec![file_name.to_owned()],
        },
    };
    let mut is_line_start = true;
    while lexer.tokens.all.len() < MOST {
        let line = lexer.at.line;
        lexer.skip_blanks();
        is_line_start |= lexer.at.line != line;
        if is_line_start && lexer.rest.starts_with('#') {
            lexer.directive();
            continue;
        }
        is_line_start = false;
        if !lexer.word() {
            break;
        }
    }
    let at = lexer.at;
    lexer.tokens.all.push(Token {
        word: Word::End,
        at,
    });
    lexer.tokens
}

impl<'t> Lexer<'t> {
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        match taken.rfind('\n') {
            Some(last) => {
                self.at.line += taken.matches('\n').count();
                self.at.column = 1 + taken[last + 1..].chars().count();
            }
            None => self.at.column += taken.chars().count(),
        }
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.take(blanks);
            if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").map_or(self.rest.len(), |end| end + 2);
                self.take(end);
            } else if self.rest.starts_with("\\\n") {
                self.take(2);
            } else {
                return;
            }
        }
    }

    /// A line of the preprocessor, with the lines that continue it.
    fn directive(&mut self) {
        let mut end = 0;
        loop {
            let line = self.rest[end..].find('\n').map(|line| end + line);
            end = line.unwrap_or(self.rest.len());
            if line.is_none() || !self.rest[..end].trim_end_matches('\r').ends_with('\\') {
                break;
            }
            end += 1;
        }
        let text = self.take(end);
        // `# 12 "file.h" 1 3`: the next line is that one.
        let words = text[1..].trim_start();
        let words = words.strip_prefix("line ").unwrap_or(words);
        let (number, rest) = words.split_once(' ').unwrap_or((words, ""));
        if let Ok(number) = number.parse::<usize>() {
            self.at.line = number.saturating_sub(1);
            if let Some(name) = rest
                .strip_prefix('"')
                .and_then(|name| name.split('"').next())
            {
                let files = &mut self.tokens.files;
                let known = files.iter().position(|file| file == name);
                self.at.file = known.unwrap_or_else(|| {
                    files.push(name.to_owned());
                    files.len() - 1
                });
            }
        }
    }

    fn word(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        let at = self.at;
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        let word = match first {
            c if c.is_ascii_digit() => {
                let end = self.rest.find(|c: char| !is_of_name(c) && c != '.');
                Word::Number(number(self.take(end.unwrap_or(self.rest.len()))))
            }
            c if is_of_name(c) => {
                let end = self.rest.find(|c| !is_of_name(c));
                Word::Name(self.take(end.unwrap_or(self.rest.len())))
            }
            '"' | '\'' => {
                let value = self.quoted(first);
                if first == '"' {
                    Word::Text
                } else {
                    Word::Number(value)
                }
            }
            '.' if self.rest.starts_with("...") => {
                self.take(3);
                Word::Dots
            }
            '<' | '>' if self.rest[1..].starts_with(first) => {
                self.take(2);
                Word::Shift(first)
            }
            mark => {
                self.take(mark.len_utf8());
                Word::Mark(mark)
            }
        };
        self.tokens.all.push(Token { word, at });
        true
    }

    /// Past a text or character; the value of a plain character.
    fn quoted(&mut self, quote: char) -> u64 {
        let mut end = 1;
        let mut is_escaped = false;
        for c in self.rest[1..].chars() {
            end += c.len_utf8();
            match c {
                '\n' => break,
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                c if c == quote => break,
                _ => {}
            }
        }
        let text = self.take(end);
        text.chars().nth(1).map_or(0, u64::from)
    }
}

/// `12`, `0x1f`, `017`, with letters behind; zero for what is no integer.
fn number(word: &str) -> u64 {
    let word = word.trim_end_matches(['u', 'U', 'l', 'L']);
    let parsed = match word.strip_prefix("0x").or(word.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if word.starts_with('0') => u64::from_str_radix(word, 8),
        None => word.parse(),
    };
    parsed.unwrap_or(0)
}
