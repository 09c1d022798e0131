//! The lines about each public item.

use std::collections::BTreeSet;

use syn::{
    Fields, ImplItem, Item, ItemEnum, ItemStruct, ItemTrait, Signature, TraitItem, Type,
    parse_quote,
};

use super::crate_index::{CrateIndex, Found, exports_of, is_hidden, is_public};
use super::tokens::text;

/// The public items of a module, whose path for users is `shown`.
pub fn module(index: &CrateIndex, path: &[String], shown: &str, lines: &mut BTreeSet<String>) {
    for entry in index.items(path) {
        match entry {
            Item::Use(import) if is_public(&import.vis, &import.attrs) => {
                for export in exports_of(&import.tree) {
                    let name = format!("{shown}::{}", export.name);
                    assert!(export.name != "*", "name what {shown} re-exports: no `pub use …::*`");
                    match index.find(path, &export.path) {
                        Found::Item(found) => item(index, found, &name, lines),
                        Found::Module(found) => {
                            lines.insert(format!("mod {name}"));
                            module(index, &found, &name, lines);
                        }
                        Found::Elsewhere => {
                            lines.insert(format!("use {} as {name}", export.path.join("::")));
                        }
                    }
                }
            }
            Item::Mod(inner) if is_public(&inner.vis, &inner.attrs) => {
                let name = format!("{shown}::{}", inner.ident);
                lines.insert(format!("mod {name}"));
                module(index, &[path, &[inner.ident.to_string()]].concat(), &name, lines);
            }
            Item::Macro(found)
                if found.attrs.iter().any(|one| one.path().is_ident("macro_export"))
                    && !is_hidden(&found.attrs) =>
            {
                let name = found.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                lines.insert(format!("macro cortado::{name}!"));
            }
            _ => {
                if let Some(name) = public_name(entry) {
                    item(index, entry, &format!("{shown}::{name}"), lines);
                }
            }
        }
    }
}

/// The name of a public item that is neither an import nor a module.
fn public_name(item: &Item) -> Option<String> {
    let (visibility, attributes, name) = match item {
        Item::Const(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Enum(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Fn(item) => (&item.vis, &item.attrs, &item.sig.ident),
        Item::Static(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Struct(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Trait(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Type(item) => (&item.vis, &item.attrs, &item.ident),
        _ => return None,
    };
    is_public(visibility, attributes).then(|| name.to_string())
}

fn item(index: &CrateIndex, item: &Item, name: &str, lines: &mut BTreeSet<String>) {
    match item {
        Item::Const(found) => drop(lines.insert(format!("const {name}: {}", text(&found.ty)))),
        Item::Static(found) => drop(lines.insert(format!("static {name}: {}", text(&found.ty)))),
        Item::Type(found) => {
            let generics = text(&found.generics);
            lines.insert(format!("type {name}{generics} = {}", text(&found.ty)));
        }
        Item::Fn(found) => drop(lines.insert(signature(&found.sig, name))),
        Item::Struct(found) => {
            of_struct(found, name, lines);
            of_type(index, &found.ident.to_string(), name, &found.attrs, lines);
        }
        Item::Enum(found) => {
            of_enum(found, name, lines);
            of_type(index, &found.ident.to_string(), name, &found.attrs, lines);
        }
        Item::Trait(found) => {
            of_trait(found, name, lines);
            of_trait_impls(index, &found.ident.to_string(), lines);
        }
        other => panic!("{name} is an item of an unknown form: {}", text(other)),
    }
}

fn non_exhaustive(attributes: &[syn::Attribute]) -> &'static str {
    let is = attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
    if is { " #[non_exhaustive]" } else { "" }
}

fn of_struct(found: &ItemStruct, name: &str, lines: &mut BTreeSet<String>) {
    let generics = &found.generics;
    let place = generics.where_clause.as_ref().map(|clause| format!(" {}", text(clause)));
    let marked = non_exhaustive(&found.attrs);
    let mut rest = "";
    for (at, field) in found.fields.iter().enumerate() {
        if is_public(&field.vis, &field.attrs) {
            let field_name =
                field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
            lines.insert(format!("{name}::{field_name}: {}", text(&field.ty)));
        } else {
            rest = " { .. }";
        }
    }
    let place = place.unwrap_or_default();
    lines.insert(format!("struct {name}{}{place}{rest}{marked}", text(generics)));
}

fn of_enum(found: &ItemEnum, name: &str, lines: &mut BTreeSet<String>) {
    let marked = non_exhaustive(&found.attrs);
    lines.insert(format!("enum {name}{}{marked}", text(&found.generics)));
    for variant in found.variants.iter().filter(|variant| !is_hidden(&variant.attrs)) {
        let types = variant.fields.iter().map(|field| {
            let field_name = field.ident.as_ref().map(|name| format!("{name}: "));
            format!("{}{}", field_name.unwrap_or_default(), text(&field.ty))
        });
        let types = types.collect::<Vec<_>>().join(", ");
        let fields = match &variant.fields {
            Fields::Named(_) => format!(" {{ {types} }}"),
            Fields::Unnamed(_) => format!("({types})"),
            Fields::Unit => String::new(),
        };
        let marked = non_exhaustive(&variant.attrs);
        lines.insert(format!("{name}::{}{fields}{marked}", variant.ident));
    }
}

/// The methods and constants of a type, its traits, and where it is the parameter of a trait of another type.
fn of_type(
    index: &CrateIndex,
    own_name: &str,
    name: &str,
    attributes: &[syn::Attribute],
    lines: &mut BTreeSet<String>,
) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let derived = attribute.parse_args_with(
            syn::punctuated::Punctuated::<syn::Path, syn::Token![,]>::parse_terminated,
        );
        for derived in derived.unwrap() {
            lines.insert(format!("derive {name}: {}", text(&derived)));
        }
    }
    for found in index.impls().filter(|found| !is_hidden(&found.attrs)) {
        let is_of_type = last_name(&found.self_ty).is_some_and(|it| it == own_name);
        match &found.trait_ {
            None if is_of_type => {
                for entry in &found.items {
                    match entry {
                        ImplItem::Fn(method) if is_public(&method.vis, &method.attrs) => {
                            let path = format!("{name}::{}", method.sig.ident);
                            lines.insert(signature(&method.sig, &path));
                        }
                        ImplItem::Const(one) if is_public(&one.vis, &one.attrs) => {
                            lines.insert(format!("const {name}::{}: {}", one.ident, text(&one.ty)));
                        }
                        _ => {}
                    }
                }
            }
            None => {}
            Some((_, path, _)) => {
                let names_type = text(path)
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|it| it == own_name);
                if is_of_type || names_type {
                    lines.insert(head_of(found));
                }
            }
        }
    }
}

/// The impls of a trait for all types of a form, such as functions.
fn of_trait_impls(index: &CrateIndex, own_name: &str, lines: &mut BTreeSet<String>) {
    for found in index.impls().filter(|found| !is_hidden(&found.attrs)) {
        let Some((_, path, _)) = &found.trait_ else { continue };
        let is_trait = path.segments.last().is_some_and(|last| last.ident == own_name);
        let for_name = last_name(&found.self_ty);
        let is_blanket =
            found.generics.type_params().any(|one| Some(one.ident.to_string()) == for_name);
        // Those of one type are listed with the type, if it is public.
        if is_trait && (is_blanket || for_name.is_none_or(|name| is_of_std(&name))) {
            lines.insert(head_of(found));
        }
    }
}

/// Types of the standard library for which a trait of ours may be implemented.
fn is_of_std(name: &str) -> bool {
    ["Result", "Option", "Box", "Arc", "String", "Vec", "str", "Error"].contains(&name)
}

/// `impl<T> Trait for Type where …`
fn head_of(found: &syn::ItemImpl) -> String {
    let mut head = found.clone();
    (head.attrs, head.items) = (Vec::new(), Vec::new());
    text(&head).replace(" { }", "").trim_end_matches(" {}").trim_end_matches(',').to_owned()
}

fn last_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    }
}

fn of_trait(found: &ItemTrait, name: &str, lines: &mut BTreeSet<String>) {
    let mut head = found.clone();
    head.attrs.clear();
    let bounds = &found.supertraits;
    let bounds = if bounds.is_empty() { String::new() } else { format!(": {}", text(bounds)) };
    let place = found.generics.where_clause.as_ref().map(|clause| format!(" {}", text(clause)));
    let place = place.unwrap_or_default();
    let place = place.trim_end_matches(',');
    lines.insert(format!("trait {name}{}{bounds}{place}", text(&found.generics)));
    for entry in &found.items {
        let line = match entry {
            TraitItem::Fn(method) if !is_hidden(&method.attrs) => {
                let provided = if method.default.is_some() { " (provided)" } else { "" };
                format!("{}{provided}", text(&method.sig))
            }
            TraitItem::Const(one) if !is_hidden(&one.attrs) => {
                let default = if one.default.is_some() { " = .." } else { "" };
                format!("const {}: {}{default}", one.ident, text(&one.ty))
            }
            TraitItem::Type(one) if !is_hidden(&one.attrs) => {
                let mut one = one.clone();
                one.attrs.clear();
                text(&one).trim_end_matches(';').to_owned()
            }
            _ => continue,
        };
        lines.insert(format!("trait item {name}::{line}"));
    }
}

/// A function's signature with its whole path as the name. The names of parameters are no part of the API, but patterns
/// such as `mut self` would be changes that nobody sees.
fn signature(of: &Signature, path: &str) -> String {
    let mut of = of.clone();
    for input in &mut of.inputs {
        match input {
            syn::FnArg::Receiver(receiver) if receiver.reference.is_none() => {
                receiver.mutability = None;
            }
            syn::FnArg::Receiver(_) => {}
            syn::FnArg::Typed(typed) => {
                if let syn::Pat::Ident(pattern) = &mut *typed.pat {
                    pattern.mutability = None;
                } else {
                    typed.pat = parse_quote!(_);
                }
            }
        }
    }
    let name = of.ident.to_string();
    let line = text(&of);
    let (before, after) = line.split_once(&format!("fn {name}")).unwrap_or((&line, ""));
    format!("{before}fn {path}{after}").trim_end_matches(',').to_owned()
}
