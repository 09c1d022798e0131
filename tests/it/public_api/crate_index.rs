//! The modules of a crate with their items, and the paths through which they are re-exported.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;

use quote::ToTokens as _;
use syn::{Attribute, Item, ItemImpl, UseTree, Visibility};

/// The path of a module from the root of the crate.
pub type ModulePath = Vec<String>;

/// The parsed modules of a crate, without its tests and programs.
pub struct CrateIndex {
    modules: BTreeMap<ModulePath, Vec<Item>>,
}

/// A name that a module makes public, and what it stands for.
pub struct Export {
    pub name: String,
    /// The path that is written.
    pub path: Vec<String>,
}

/// Where the item behind a path is.
pub enum Found<'c> {
    Item(&'c Item),
    Module(ModulePath),
    /// In another crate.
    Elsewhere,
}

impl CrateIndex {
    /// Reads the crate whose `lib.rs` is in this directory.
    pub fn read(src: &FilePath) -> CrateIndex {
        let (mut files, mut dirs) = (Vec::new(), vec![src.to_owned()]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    let name = path.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
                    files.push((name, fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let is_library = |name: &str| {
            let is_test = |part: &str| matches!(part.trim_end_matches(".rs"), "tests" | "bin");
            name != "main.rs" && !name.split('/').any(is_test)
        };
        files.retain(|(name, _)| is_library(name));
        CrateIndex::of(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
    }

    /// The crate with these files, by their paths below `src`.
    pub fn of<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> CrateIndex {
        let mut this = CrateIndex { modules: BTreeMap::new() };
        for (name, text) in files {
            let mut path: ModulePath =
                name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            path.pop_if(|last| last == "mod" || last == "lib");
            let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            this.add(path, file.items);
        }
        this
    }

    fn add(&mut self, path: ModulePath, items: Vec<Item>) {
        for item in &items {
            if let Item::Mod(module) = item
                && let Some((_, inner)) = &module.content
                && !is_of_tests(&module.attrs)
            {
                let path = [path.clone(), vec![module.ident.to_string()]].concat();
                self.add(path, inner.clone());
            }
        }
        self.modules.insert(path, items);
    }

    /// The items of a module.
    pub fn items(&self, module: &[String]) -> &[Item] {
        self.modules.get(module).map(Vec::as_slice).unwrap_or_default()
    }

    /// All impls of the crate.
    pub fn impls(&self) -> impl Iterator<Item = &ItemImpl> {
        self.modules.values().flatten().filter_map(|item| match item {
            Item::Impl(found) if !is_of_tests(&found.attrs) => Some(found),
            _ => None,
        })
    }

    /// Follows a path that is written in a module to what it stands for.
    pub fn find(&self, module: &[String], path: &[String]) -> Found<'_> {
        let Some((name, parents)) = path.split_last() else { return Found::Elsewhere };
        let mut at = module.to_vec();
        for (place, part) in parents.iter().enumerate() {
            match part.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                part => match self.find(&at, &[part.to_owned()]) {
                    Found::Module(found) => at = found,
                    Found::Item(_) | Found::Elsewhere if place > 0 => return Found::Elsewhere,
                    Found::Item(_) | Found::Elsewhere => return Found::Elsewhere,
                },
            }
        }
        let below = [at.clone(), vec![name.clone()]].concat();
        if self.modules.contains_key(&below) {
            return Found::Module(below);
        }
        if let Some(item) = self.items(&at).iter().find(|item| name_of(item).as_ref() == Some(name))
        {
            return Found::Item(item);
        }
        let exports = self.items(&at).iter().filter_map(|item| match item {
            Item::Use(import) => Some(exports_of(&import.tree)),
            _ => None,
        });
        // An import of the name itself would be followed for ever.
        let export = exports.flatten().find(|export| export.name == *name && export.path != path);
        export.map_or(Found::Elsewhere, |export| self.find(&at, &export.path))
    }
}

/// The name of an item that is not an import.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The names of an import.
pub fn exports_of(tree: &UseTree) -> Vec<Export> {
    match tree {
        UseTree::Path(path) => {
            let mut exports = exports_of(&path.tree);
            for export in &mut exports {
                export.path.insert(0, path.ident.to_string());
            }
            exports
        }
        UseTree::Name(name) => {
            vec![Export { name: name.ident.to_string(), path: vec![name.ident.to_string()] }]
        }
        UseTree::Rename(renamed) => {
            let path = vec![renamed.ident.to_string()];
            vec![Export { name: renamed.rename.to_string(), path }]
        }
        UseTree::Glob(_) => vec![Export { name: "*".to_owned(), path: vec!["*".to_owned()] }],
        UseTree::Group(group) => group.items.iter().flat_map(exports_of).collect(),
    }
}

/// Whether an item is public and documented.
pub fn is_public(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    matches!(visibility, Visibility::Public(_)) && !is_hidden(attributes)
}

/// Whether an item is left out of the documentation, or exists only in tests.
pub fn is_hidden(attributes: &[Attribute]) -> bool {
    let has = |name: &str, value: &str| {
        attributes.iter().any(|attribute| {
            attribute.path().is_ident(name)
                && attribute.meta.to_token_stream().to_string().replace(' ', "").contains(value)
        })
    };
    has("doc", "doc(hidden)") || is_of_tests(attributes)
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string().replace(' ', "");
        attribute.path().is_ident("cfg") && text == "cfg(test)"
    })
}
