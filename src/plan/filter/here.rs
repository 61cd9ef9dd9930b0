//! A filter as it is read in one module: what no symbol there is called may be the name of a function as its language
//! writes it, `handle` for `ns::handle()`.

use super::{Effect, Filter, Library, Rule};
use crate::plan::ModuleName;

/// One filter and one module.
#[derive(Clone, Debug)]
pub struct Here<'f> {
    filter: &'f Filter,
    module: &'f ModuleName,
    /// For each rule, whether it means what languages write so.
    written: Vec<bool>,
}

impl<'f> Here<'f> {
    /// The filter in a module of which no symbols are known yet: all rules mean what is written so that may.
    pub fn new(filter: &'f Filter, module: &'f ModuleName) -> Here<'f> {
        // Without a library, that is the program's own.
        let may_be = |rule: &Rule| match rule.library {
            Library::Any => module.is_main,
            _ => rule.library.matches(module),
        };
        let is_written = |rule: &Rule| rule.symbol.written().is_some() && may_be(rule);
        let written = filter.rules.iter().map(is_written).collect();
        Here {
            filter,
            module,
            written,
        }
    }

    /// Notes a symbol: rules that it fits mean symbols.
    pub fn note(&mut self, symbol: &str) {
        for (rule, written) in self.filter.rules.iter().zip(&mut self.written) {
            *written = *written && !rule.speaks_of(symbol, self.module);
        }
    }

    /// Whether a rule means what languages write so, as no symbol that was noted is called so.
    pub fn is_written(&self) -> bool {
        self.written.contains(&true)
    }

    /// Whether the function is meant.
    pub fn matches(&self, symbol: &str) -> bool {
        self.deciding(symbol)
            .is_some_and(|(rule, _)| rule.effect == Effect::Mark)
    }

    /// The name that means the function and is not its symbol's.
    pub fn written(&self, symbol: &str) -> Option<&'f str> {
        let (rule, is_written) = self.deciding(symbol)?;
        let is_meant = is_written && rule.effect == Effect::Mark;
        rule.symbol.written().filter(|_| is_meant)
    }

    /// The rule that decides, and whether it does so by what is written.
    fn deciding(&self, symbol: &str) -> Option<(&'f Rule, bool)> {
        let rules = self.filter.rules.iter().zip(&self.written).rev();
        let mut speaking = rules.filter_map(|(rule, &written)| {
            let is_written = || written && rule.symbol.is_written(symbol);
            match rule.speaks_of(symbol, self.module) {
                true => Some((rule, false)),
                false => is_written().then_some((rule, true)),
            }
        });
        speaking.next()
    }
}
