//! The imports between the files of `src`: no file may import itself by way of others. Imports follow re-exports to the
//! file that defines the item, so a `mod.rs` that only collects names imports nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::rust_files;
use super::tokens::{Import, Path, imports};

/// Modules of the crate outside its tests, by their paths.
pub struct Crate {
    modules: BTreeMap<Path, Module>,
    /// Paths of test modules; no import is resolved into them.
    tests: BTreeSet<Path>,
}

struct Module {
    file: String,
    imports: Vec<Import>,
}

impl Crate {
    pub fn read() -> Crate {
        let files = rust_files("src").into_iter();
        Crate::of(files.map(|(path, text)| (path.trim_start_matches("src/").to_owned(), text)))
    }

    /// The crate with these files, by their paths below `src`.
    fn of(files: impl IntoIterator<Item = (String, String)>) -> Crate {
        let mut this = Crate { modules: BTreeMap::new(), tests: BTreeSet::new() };
        for (file, text) in files {
            if file == "main.rs" || file.starts_with("bin/") {
                continue;
            }
            let mut path: Path =
                file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            path.pop_if(|last| last == "mod" || last == "lib");
            let is_test =
                |part: &String| matches!(&**part, "tests" | "testing" | "conformance" | "model");
            if path.iter().any(is_test) {
                this.tests.insert(path);
            } else {
                this.modules.insert(path, Module { imports: imports(&text), file });
            }
        }
        this
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.modules.contains_key(path) || self.tests.contains(path)
    }

    /// Resolves a path in a module to a path from the root of the crate; `None` for paths of other crates.
    fn absolute(&self, module: &[String], written: &[String]) -> Option<Path> {
        let (first, rest) = written.split_first()?;
        match &**first {
            "crate" => return Some(rest.to_vec()),
            "self" => return Some([module, rest].concat()),
            "super" => {
                let (mut base, mut rest) = (module.split_last()?.1, rest);
                while let Some(("super", next)) = rest.split_first().map(|(a, b)| (&**a, b)) {
                    (base, rest) = (base.split_last()?.1, next);
                }
                return Some([base, rest].concat());
            }
            _ => {}
        }
        let child = [module, &written[..1]].concat();
        if self.is_module(&child) {
            return Some([module, written].concat());
        }
        let import = self.imported(module, first)?;
        if import.path.first() == Some(first) {
            return None; // `use serde::...`, `use std;`
        }
        Some([&*self.absolute(module, &import.path)?, rest].concat())
    }

    /// The import that brings a name into a module.
    fn imported(&self, module: &[String], name: &str) -> Option<&Import> {
        let imports = &self.modules.get(module)?.imports;
        imports.iter().find(|import| import.name.as_deref() == Some(name))
    }

    /// The module that defines what a path from the root names, through re-exports; `None` for tests.
    fn defining(&self, path: &[String]) -> Option<Path> {
        let mut path = path.to_vec();
        let mut seen = BTreeSet::new();
        loop {
            let length = (0..=path.len()).rev().find(|n| self.is_module(&path[..*n]))?;
            let (module, rest) = path.split_at(length);
            if self.tests.contains(module) {
                return None;
            }
            let again = rest.first().and_then(|name| self.imported(module, name));
            let again = again.and_then(|import| self.absolute(module, &import.path));
            match again {
                Some(base) if seen.insert(path.clone()) => path = [&base, &rest[1..]].concat(),
                Some(_) | None => return Some(module.to_vec()),
            }
        }
    }

    /// What each file imports of other files, with the paths as they are written.
    fn graph(&self) -> BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> {
        let mut graph: BTreeMap<&str, BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
        for (path, module) in &self.modules {
            for import in module.imports.iter().filter(|import| !import.is_public) {
                let target = self.absolute(path, &import.path).and_then(|it| self.defining(&it));
                if let Some(target) = target.filter(|target| target != path) {
                    let edges = graph.entry(&module.file).or_default();
                    let names = edges.entry(&self.modules[&target].file).or_default();
                    names.insert(import.path.join("::"));
                }
            }
        }
        graph
    }

    /// The top-level modules that each top-level module names, with the files that do.
    pub fn parts(&self) -> BTreeMap<(String, String), BTreeSet<&str>> {
        let mut parts: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for (path, module) in &self.modules {
            let Some(part) = path.first() else { continue };
            for import in &module.imports {
                let target = self.absolute(path, &import.path).unwrap_or_default();
                let names = target.first().filter(|it| self.is_module(&target[..1]) && *it != part);
                if let Some(name) = names {
                    parts.entry((part.clone(), name.clone())).or_default().insert(&module.file);
                }
            }
        }
        parts
    }

    /// The groups of files that import each other, directly or by way of others.
    fn cycles(&self) -> Vec<Vec<&str>> {
        let graph = self.graph();
        let reachable = |from: &str| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(file) = next.pop() {
                for target in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
                    if seen.insert(*target) {
                        next.push(target);
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<&str, _> = graph.keys().map(|file| (*file, reachable(file))).collect();
        let mut cycles: Vec<Vec<&str>> = Vec::new();
        for (file, reached) in &reach {
            if reached.contains(file) && !cycles.iter().any(|cycle| cycle.contains(file)) {
                let both =
                    reached.iter().filter(|it| reach.get(*it).is_some_and(|r| r.contains(file)));
                cycles.push(both.copied().collect());
            }
        }
        cycles
    }

    /// A cycle as a failing test prints it: each import within it, and what is imported.
    fn describe(&self, cycle: &[&str]) -> String {
        let mut text = String::new();
        let graph = self.graph();
        for (file, edges) in cycle.iter().filter_map(|file| Some((file, graph.get(file)?))) {
            for (target, names) in edges.iter().filter(|(target, _)| cycle.contains(target)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                text += &format!("  {file} -> {target} ({})\n", names.join(", "));
            }
        }
        text
    }
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let crate_ = Crate::read();
    let mut wrong = String::new();
    for cycle in crate_.cycles() {
        wrong += &format!("{} files import each other:\n{}", cycle.len(), crate_.describe(&cycle));
    }
    assert!(wrong.is_empty(), "{wrong}");
    let imports = crate_.graph().values().map(BTreeMap::len).sum::<usize>();
    assert!(imports > 500, "hardly any imports were found: {imports}");
}

fn small(files: &[(&str, &str)]) -> Crate {
    Crate::of(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())))
}

#[test]
fn two_files_that_import_each_other_are_a_cycle() {
    let both = [("a.rs", "use crate::b::B; pub struct A;"), ("b.rs", "fn f() -> crate::a::A {}")];
    let crate_ = small(&both);
    assert_eq!(crate_.cycles(), [["a.rs", "b.rs"]]);
    assert_eq!(
        crate_.describe(&["a.rs", "b.rs"]),
        "  a.rs -> b.rs (crate::b::B)\n  b.rs -> a.rs (crate::a::A)\n"
    );
}

#[test]
fn a_longer_way_back_is_a_cycle_and_a_way_without_return_is_none() {
    let files = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::c::{self, C};"),
        ("c.rs", "use crate::a::A; use crate::d::D;"),
        ("d.rs", "use std::fmt; use serde::de;"),
    ];
    assert_eq!(small(&files).cycles(), [["a.rs", "b.rs", "c.rs"]]);
    assert!(small(&files[1..]).cycles().is_empty());
}

#[test]
fn an_import_leads_to_the_file_that_defines_the_item() {
    // `x/mod.rs` re-exports what its children define, which alone is not an import.
    let facade = "mod p; mod q; pub use p::P; pub(crate) use self::q::Q as R;";
    let files = [("x/mod.rs", facade), ("x/p.rs", "use super::R;"), ("x/q.rs", "")];
    let crate_ = small(&files);
    assert!(crate_.cycles().is_empty());
    assert_eq!(crate_.graph()["x/p.rs"].keys().collect::<Vec<_>>(), [&"x/q.rs"]);
    // If the facade itself uses an item of its child, the child may not use an item of the facade.
    let files =
        [("x/mod.rs", "mod p; pub use p::P; fn f() { p::g() }"), ("x/p.rs", "use super::f;")];
    assert_eq!(small(&files).cycles(), [["x/mod.rs", "x/p.rs"]]);
}

#[test]
fn tests_may_import_whatever_they_test() {
    let files = [
        ("a.rs", "#[cfg(test)]\nmod tests {\n use crate::b::B;\n}"),
        ("b.rs", "use crate::a::A;\n#[cfg(test)]\nuse crate::a::X;"),
        ("b/tests.rs", "use crate::a::A; use super::B;"),
    ];
    assert!(small(&files).cycles().is_empty());
}

#[test]
fn a_name_of_an_inner_module_is_not_that_of_a_part() {
    let files = [
        ("lib.rs", "mod handlers; mod http;"),
        ("handlers/mod.rs", "mod http; use http::Settings; fn f() -> http::Reply {}"),
        ("handlers/http.rs", "use super::super::http::Api;"),
        ("http.rs", "use crate::handlers::{self, http as kind};"),
    ];
    let crate_ = small(&files);
    let parts = crate_.parts();
    let of = |a: &str, b: &str| parts.get(&(a.to_owned(), b.to_owned())).map(|it| it.len());
    assert_eq!((of("handlers", "http"), of("http", "handlers")), (Some(1), Some(1)));
    assert!(parts[&("handlers".to_owned(), "http".to_owned())].contains("handlers/http.rs"));
}
