//! `-x`: functions of a module, by their names or by their addresses, wherever they are called from.

use super::filter::{Filter, Here};
use super::symbols::Symbols;
use super::taken;
use super::{Kind, ModuleName, Plan, Point, Points, Returns, Sites, Tracepoint, Wanted};
use crate::base::addr::Vaddr;
use crate::elf::{Image, Symbol, SymbolKind};
use crate::proto::Prototype;
use crate::proto::types::Type;
use iced_x86::{Decoder, DecoderOptions};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

/// A function is not thought to be longer when its size is not stated.
const MOST_UNSIZED: u64 = 4096;

/// One module, and what it calls its functions.
struct Functions<'m> {
    plan: &'m Plan,
    filters: Vec<Here<'m>>,
    image: &'m Image,
    bytes: &'m [u8],
    module: &'m Arc<ModuleName>,
    /// Those that filters mean, with the others of the same addresses; all where addresses are meant. In the order of
    /// their addresses.
    symbols: Vec<Symbol>,
    taken: HashSet<Vaddr>,
    points: Vec<Point>,
    refused: Vec<String>,
}

impl Plan {
    /// Adds the functions of a module that `-x` means.
    pub(super) fn add_functions(
        &self,
        image: &Image,
        bytes: &[u8],
        module: &Arc<ModuleName>,
        to: &mut Points,
    ) {
        if self.entries.is_empty() {
            return;
        }
        to.is_stripped = Image::functions(bytes).next().is_none();
        let named = Symbols {
            filters: &self.entries,
            image,
            bytes,
            module,
        };
        let filters = named.filters_here();
        let symbols = named.wanted(&filters);
        let mut functions = Functions {
            plan: self,
            filters,
            image,
            bytes,
            module,
            symbols,
            taken: HashSet::new(),
            points: Vec::new(),
            refused: Vec::new(),
        };
        functions.add_addresses();
        // Of the names of one address, that which was asked for goes before those that only fit.
        functions.add_symbols(Functions::is_named);
        functions.add_symbols(Functions::is_meant);
        let names = || functions.symbols.iter().map(|s| &*s.name);
        let taken = functions.filters.iter().flat_map(|f| taken(f, names()));
        to.taken.extend(taken);
        to.matched.extend(functions.matched());
        // Mostly the first of these are the ones.
        let first = functions.symbols.iter().map(Symbol::borrowed);
        let names = first.chain(named.all()).map(|symbol| symbol.name);
        to.heard.extend(self.heard_of_entries(names));
        to.points.append(&mut functions.points);
        to.refused.append(&mut functions.refused);
    }
}

impl Functions<'_> {
    /// A filter has its very name.
    fn is_named(&self, symbol: &Symbol) -> bool {
        let mut filters = self.plan.entries.iter();
        filters.any(|f| f.names(&symbol.name, self.module))
    }

    /// A filter means it.
    fn is_meant(&self, symbol: &Symbol) -> bool {
        self.filters.iter().any(|f| f.matches(&symbol.name))
    }

    fn add_symbols(&mut self, is_meant: fn(&Self, &Symbol) -> bool) {
        let symbols = self.symbols.iter().filter(|s| is_meant(self, s));
        let symbols: Vec<Symbol> = symbols.cloned().collect();
        for symbol in symbols {
            // What its symbol says is a function may be something else.
            if !self.image.is_code(symbol.vaddr) {
                if self.is_named(&symbol) {
                    self.refuse(&symbol.name, "it does not lie in the code");
                }
            } else if self.taken.insert(symbol.vaddr) {
                match symbol.kind {
                    SymbolKind::Ifunc => self.add_chosen(&symbol),
                    _ => self.add(&symbol.name, symbol.vaddr, self.returns(&symbol)),
                }
            }
        }
    }

    /// Nothing returns from where a program begins: its stack holds the arguments. Go's runtime comes to other
    /// functions so, by jumps and from signal handlers.
    fn returns(&self, symbol: &Symbol) -> Returns {
        match Returns::of(&symbol.name) {
            _ if symbol.vaddr == self.image.entry => Returns::Never,
            Returns::Once if self.image.go.is_some() => Returns::Perhaps,
            returns => returns,
        }
    }

    fn add(&mut self, name: &str, entry: Vaddr, returns: Returns) {
        let kind = Kind::Entry { entry };
        let prototype = self.prototype(name, entry);
        self.push(name, kind, prototype, returns, Sites::Entry(entry));
    }

    /// An IFUNC is two functions: one that chooses, and the chosen one, which is called by its name.
    fn add_chosen(&mut self, symbol: &Symbol) {
        let (name, resolver) = (&symbol.name, symbol.vaddr);
        let choosing = format!("{name}.IFUNC");
        let result = Type::Pointer(Arc::new(Type::Void));
        let prototype = Arc::new(Prototype::new(&choosing, result, Vec::new()));
        let kind = Kind::Resolver { entry: resolver };
        let sites = Sites::Entry(resolver);
        self.push(&choosing, kind, Some(prototype), Returns::Once, sites);
        let kind = Kind::Entry { entry: resolver };
        let prototype = self.prototype(name, resolver);
        let sites = Sites::Chosen { resolver };
        self.push(name, kind, prototype, Returns::of(name), sites);
    }

    fn add_addresses(&mut self) {
        let filters = self.plan.entries.iter();
        let addresses: Vec<Vaddr> = filters.flat_map(|f| f.addresses(self.module)).collect();
        for at in addresses {
            if let Err(why) = self.add_address(at) {
                self.refuse(&at.to_string(), &why);
            }
        }
    }

    fn refuse(&mut self, what: &str, why: &str) {
        let module = &self.module.name;
        self.refused
            .push(format!("{what} of {module} cannot be traced: {why}"));
    }

    fn add_address(&mut self, at: Vaddr) -> Result<(), String> {
        if !self.image.is_code(at) {
            return Err("there is no code at that address of the file".to_owned());
        }
        let (name, returns) = match self.around(at) {
            None => (at.to_string(), Returns::Perhaps),
            Some(symbol) if symbol.vaddr == at && symbol.kind == SymbolKind::Ifunc => {
                let symbol = symbol.clone();
                if self.taken.insert(at) {
                    self.add_chosen(&symbol);
                }
                return Ok(());
            }
            Some(symbol) if symbol.vaddr == at => (symbol.name.clone(), self.returns(symbol)),
            Some(symbol) if !self.is_instruction(symbol.vaddr, at) => {
                return Err(format!("it is inside an instruction of {}", symbol.name));
            }
            // No return address is on top of the stack there.
            Some(symbol) => {
                let offset = at.0 - symbol.vaddr.0;
                (format!("{}+{offset:#x}", symbol.name), Returns::Unwatched)
            }
        };
        if self.taken.insert(at) {
            self.add(&name, at, returns);
        }
        Ok(())
    }

    /// The function that an address belongs to. One without a size reaches to the next.
    fn around(&self, at: Vaddr) -> Option<&Symbol> {
        let after = self.symbols.partition_point(|s| s.vaddr <= at);
        let nearest = self.symbols[..after].last()?.vaddr;
        let holds = |s: &&Symbol| {
            let reach = match s.size {
                0 if s.vaddr == nearest => MOST_UNSIZED,
                size => size,
            };
            at.0 - s.vaddr.0 < reach
        };
        // Of several names the first; of two that overlap the inner one.
        let before = self.symbols[..after].iter().filter(holds);
        let innermost = before.clone().map(|s| s.vaddr).max()?;
        before.into_iter().find(|s| s.vaddr == innermost)
    }

    fn is_instruction(&self, from: Vaddr, at: Vaddr) -> bool {
        let code = self.image.bytes_at(self.bytes, from);
        let bits = self.image.class.bits();
        let mut decoder = Decoder::with_ip(bits, code, from.0, DecoderOptions::NONE);
        while decoder.can_decode() && decoder.ip() < at.0 {
            let _ = decoder.decode();
        }
        decoder.ip() == at.0
    }

    /// By its name; or by another that it has.
    fn prototype(&self, name: &str, at: Vaddr) -> Option<Arc<Prototype>> {
        let own = [self.module.name.as_str()];
        let lookup = |name: &str| self.plan.prototypes.lookup(name, &own);
        lookup(name).or_else(|| {
            let first = self.symbols.partition_point(|s| s.vaddr < at);
            let others = self.symbols[first..].iter().take_while(|s| s.vaddr == at);
            others.map(|s| s.name.as_str()).find_map(lookup)
        })
    }

    fn push(
        &mut self,
        symbol: &str,
        kind: Kind,
        prototype: Option<Arc<Prototype>>,
        returns: Returns,
        sites: Sites,
    ) {
        let tracepoint = Arc::new(Tracepoint {
            module: self.module.clone(),
            symbol: symbol.into(),
            kind,
            prototype,
            capture: OnceLock::new(),
            returns,
            stack: self.plan.stacks,
        });
        self.points.push(Point {
            tracepoint,
            sites,
            wanted: Wanted::Always,
        });
    }

    /// Which of the filters mean anything here.
    fn matched(&self) -> Vec<usize> {
        let means = |(filter, here): (&Filter, &Here<'_>)| {
            filter.addresses(self.module).next().is_some()
                || self.symbols.iter().any(|s| here.matches(&s.name))
        };
        let filters = self.plan.entries.iter().zip(&self.filters).enumerate();
        filters
            .filter(|(_, filter)| means(*filter))
            .map(|(index, _)| index)
            .collect()
    }
}
