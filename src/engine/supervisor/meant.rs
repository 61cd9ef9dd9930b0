//! What a user may have meant by a filter that means nothing in any module, as far as the modules' names tell.

use crate::engine::supervisor::state::Supervisor;
use crate::plan::filter::Filter;
use crate::plan::near::{Known, nearest, nearest_libraries};
use crate::plan::{Named, system_calls};
use crate::process::module::Module;

impl Supervisor {
    /// What is behind the line that a filter means nothing: empty where nothing comes to mind.
    pub(in crate::engine) fn meant(&self, index: usize, named: &Named<'_>) -> String {
        let spelt = self.plan.spelt(index);
        let meant = spelt.into_iter().find_map(|(symbol, library)| {
            let by_library = library.and_then(|library| self.library_meant(library, named.option));
            by_library.or_else(|| self.symbol_meant(index, symbol?, named.option))
        });
        let pattern = || {
            let text = named.text;
            let is_regex = text.contains(".*") && !text.starts_with('/');
            is_regex.then(|| {
                format!(
                    "patterns are a shell's, and regular expressions stand in slashes: '/{text}/'"
                )
            })
        };
        let part = || {
            let regex = named.text.strip_prefix('/')?.strip_suffix('/')?;
            let regex = regex.trim_start_matches('^').trim_end_matches('$');
            let is_part = !regex.contains(".*") && !regex.contains('/');
            is_part
                .then(|| format!("a regular expression has to fit the whole name: '/.*{regex}.*/'"))
        };
        let stripped = || self.stripped().filter(|_| named.option == "-x");
        match meant.or_else(pattern).or_else(part).or_else(stripped) {
            Some(meant) => format!("; {meant}"),
            None => String::new(),
        }
    }

    /// Names in filters that mean something otherwise which no module knows, and which are nearly those of others.
    pub(in crate::engine) fn misspelt(&self) -> Vec<String> {
        let mut told = Vec::new();
        let named = self.plan.named().enumerate();
        for (index, named) in named.filter(|(index, _)| self.matched.contains(index)) {
            for symbol in self
                .plan
                .spelt(index)
                .into_iter()
                .filter_map(|(symbol, _)| symbol)
            {
                if let Some(nearest) = self.near(index, symbol) {
                    let Named { option, .. } = named;
                    told.push(format!(
                        "{option} '{symbol}': there is no such function; {nearest}"
                    ));
                }
            }
        }
        told
    }

    /// Conditions on calls of functions none of which is traced.
    pub(in crate::engine) fn unmet(&self) -> Vec<String> {
        let points = || self.modules().flat_map(|module| &module.planned.points);
        let traced = || points().map(|point| &*point.tracepoint);
        let is_met = |filter: &Filter| {
            traced().any(|point| filter.matches(&point.symbol, &point.module))
                || self.plan.system_calls.is_some() && system_calls::any_meant(filter)
        };
        let conditions = self.plan.conditions.iter();
        let unmet = conditions.filter(|(_, filter)| !is_met(filter));
        unmet
            .map(|(option, filter)| {
                let text = &filter.text;
                let spelt = filter.spelt().filter_map(|(symbol, _)| symbol);
                let near = spelt.flat_map(|name| nearest(name, traced().map(|p| &*p.symbol)));
                let near = told(&near.collect::<Vec<_>>());
                format!("{option} '{text}': no such function is traced")
                    + &near.map_or_else(String::new, |near| format!("; {near}"))
            })
            .collect()
    }

    /// That a program has no names to look for.
    fn stripped(&self) -> Option<String> {
        let is_it = |module: &&Module| module.name().is_main && module.planned.is_stripped;
        let name = &self.modules().find(is_it)?.name().name;
        Some(format!(
            "{name} is stripped: only what it exports has a name, and -x 0xADDRESS@MAIN means a function by its address"
        ))
    }

    fn modules(&self) -> impl Iterator<Item = &Module> + Clone {
        self.spaces.values().flat_map(|space| &space.modules)
    }

    fn library_meant(&self, library: &str, option: &str) -> Option<String> {
        let names = self.modules().map(|module| &*module.name().name);
        if names.clone().any(|name| name == library) {
            return None;
        }
        let near = nearest_libraries(library, names);
        let first = near.first()?;
        let more = match option {
            "-e" => format!(
                "; calls of its functions are -l '{first}', those that it makes -e '@{first}'"
            ),
            _ => String::new(),
        };
        Some(format!(
            "no library is called `{library}', but {} is{more}",
            near.join(", ")
        ))
    }

    fn symbol_meant(&self, index: usize, symbol: &str, option: &str) -> Option<String> {
        let who = |wanted: Known| {
            let mut modules = self.modules();
            let knows = |module: &&Module| {
                let heard = &module.planned.heard;
                heard.iter().any(|heard| {
                    heard.filter == index && heard.name == symbol && heard.what == wanted
                })
            };
            modules.find(knows).map(|module| &*module.name().name)
        };
        if let Some(caller) = who(Known::Called) {
            return Some(format!(
                "behind `@' stands who calls; {caller} calls it: -e '{symbol}@{caller}', or -e '{symbol}' for all"
            ));
        }
        match who(Known::Defined) {
            Some(owner) if option == "-x" => Some(format!("{owner} has it: -x '{symbol}@{owner}'")),
            Some(owner) => Some(format!("{owner} has one of its own: -x '{symbol}'")),
            // What is near in libraries is nothing to go by.
            None if option == "-x" => self.stripped().or_else(|| self.near(index, symbol)),
            None => self.near(index, symbol),
        }
    }

    /// The nearest names to one that no module knows.
    fn near(&self, index: usize, symbol: &str) -> Option<String> {
        let heard = self.modules().flat_map(|module| &module.planned.heard);
        let heard = heard.filter(|heard| heard.filter == index && heard.name == symbol);
        let mut names = Vec::new();
        for heard in heard {
            match &heard.what {
                Known::Called | Known::Defined => return None,
                Known::Near(near) => names.extend(near.iter().map(String::as_str)),
            }
        }
        told(&nearest(symbol, names.into_iter()))
    }
}

fn told(nearest: &[String]) -> Option<String> {
    match nearest {
        [] => None,
        [one] => Some(format!("the nearest is {one}")),
        several => Some(format!("the nearest are {}", several.join(", "))),
    }
}
