//! Expressions in mangled names (Itanium C++ ABI 5.1.6): where they end.

use super::names::Of;
use super::parser::Parser;

impl Parser<'_> {
    /// Goes past an `<expression>`.
    pub(super) fn expression(&mut self) -> Option<()> {
        self.nested(Parser::any_expression)
    }

    fn expressions(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.expression())
    }

    fn expressions_to_end(&mut self) -> Option<()> {
        while !self.eat("E") {
            self.expression()?;
        }
        Some(())
    }

    fn any_expression(&mut self) -> Option<()> {
        match self.peek()? {
            b'L' => return self.literal(),
            b'T' => return self.template_parameter().map(drop),
            b'0'..=b'9' => return self.simple_name(),
            _ => {}
        }
        if self.starts_with("fp") || self.starts_with("fL") {
            return self.function_parameter();
        }
        self.eat("gs");
        if self.starts_with("sr") || self.starts_with("on") || self.starts_with("dn") {
            return self.unresolved_name();
        }
        match &self.pair()? {
            b"cl" | b"il" => self.expressions_to_end(),
            b"cv" => {
                self.ty()?;
                match self.eat("_") {
                    true => self.expressions_to_end(),
                    false => self.expression(),
                }
            }
            b"tl" => {
                self.ty()?;
                self.expressions_to_end()
            }
            b"dc" | b"sc" | b"cc" | b"rc" => {
                self.ty()?;
                self.expression()
            }
            b"ti" | b"st" | b"at" => self.ty().map(drop),
            b"te" | b"sz" | b"az" | b"nx" | b"sp" | b"tw" | b"dl" | b"da" | b"sZ" => {
                self.expression()
            }
            b"sP" => {
                while !self.eat("E") {
                    self.expression().or_else(|| self.ty().map(drop))?;
                }
                Some(())
            }
            b"tr" => Some(()),
            b"dt" | b"pt" => {
                self.expression()?;
                self.unresolved_name()
            }
            b"fl" | b"fr" => {
                self.pair()?;
                self.expression()
            }
            b"fL" | b"fR" => {
                self.pair()?;
                self.expressions(2)
            }
            b"pp" | b"mm" => {
                self.eat("_");
                self.expression()
            }
            b"ps" | b"ng" | b"ad" | b"de" | b"co" | b"nt" => self.expression(),
            b"qu" => self.expressions(3),
            b"pl" | b"mi" | b"ml" | b"dv" | b"rm" | b"an" | b"or" | b"eo" | b"aS" | b"pL"
            | b"mI" | b"mL" | b"dV" | b"rM" | b"aN" | b"oR" | b"eO" | b"ls" | b"rs" | b"lS"
            | b"rS" | b"eq" | b"ne" | b"lt" | b"gt" | b"le" | b"ge" | b"ss" | b"aa" | b"oo"
            | b"cm" | b"pm" | b"ix" | b"ds" => self.expressions(2),
            _ => None,
        }
    }

    /// `<expr-primary>`: goes past it.
    pub(super) fn literal(&mut self) -> Option<()> {
        self.expect("L")?;
        if self.eat("_Z") {
            self.name(Of::Type)?;
            while !self.starts_with("E") {
                if !self.eat("z") {
                    self.ty()?;
                }
            }
            return self.expect("E");
        }
        self.ty()?;
        while self.bump()? != b'E' {}
        Some(())
    }

    fn function_parameter(&mut self) -> Option<()> {
        if self.eat("fpT") {
            return Some(());
        }
        if self.eat("fL") {
            self.number()?;
            self.expect("p")?;
        } else {
            self.expect("fp")?;
        }
        while self.eat("r") || self.eat("V") || self.eat("K") {}
        self.ordinal().map(drop)
    }

    /// `<unresolved-name>`
    fn unresolved_name(&mut self) -> Option<()> {
        self.eat("gs");
        if !self.eat("sr") {
            return self.base_name();
        }
        let has_more = self.eat("N");
        if !self.peek()?.is_ascii_digit() {
            self.unresolved_type()?;
            if has_more {
                while !self.eat("E") {
                    self.simple_name()?;
                }
            }
            return self.base_name();
        }
        while !self.eat("E") {
            self.simple_name()?;
        }
        self.base_name()
    }

    fn unresolved_type(&mut self) -> Option<()> {
        self.ty().map(drop)
    }

    fn base_name(&mut self) -> Option<()> {
        if self.eat("on") {
            self.operator_name()?;
            if self.peek() == Some(b'I') {
                self.template_arguments(Of::Type)?;
            }
            return Some(());
        }
        if self.eat("dn") && !self.peek()?.is_ascii_digit() {
            return self.unresolved_type();
        }
        self.simple_name()
    }

    fn simple_name(&mut self) -> Option<()> {
        self.source_name()?;
        if self.peek() == Some(b'I') {
            self.template_arguments(Of::Type)?;
        }
        Some(())
    }
}
