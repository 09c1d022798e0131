//! The public API of the library, as a sorted list of its items with their signatures, in `tests/fixtures/public-api.txt`.
//! Whoever changes it accepts the change with `ACCEPT_PUBLIC_API=1 cargo test --features bench --test it public_api`.
//!
//! The list is read from the sources, from `src/lib.rs` on, so it depends on no version of the compiler. It has no impls that
//! macros of this crate write.

mod crate_index;
mod items;
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate_index::CrateIndex;

const FIXTURE: &str = "tests/fixtures/public-api.txt";
const ACCEPT: &str = "ACCEPT_PUBLIC_API";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of the list.
fn public_api(index: &CrateIndex) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    items::module(index, &[], "cortado", &mut lines);
    lines
}

#[test]
fn the_public_api_changes_only_when_somebody_accepts_it() {
    let found = public_api(&CrateIndex::read(&root().join("src")));
    assert!(found.len() > 50, "only {} items were found", found.len());
    let path = root().join(FIXTURE);
    let text = found.iter().map(|line| format!("{line}\n")).collect::<String>();
    if std::env::var_os(ACCEPT).is_some() {
        fs::write(&path, &text).unwrap();
    }
    let listed = fs::read_to_string(&path).unwrap_or_default();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let lines = |sign: char, these: &BTreeSet<String>, those: &BTreeSet<String>| -> String {
        these.difference(those).map(|line| format!("\n  {sign} {line}")).collect()
    };
    let (gone, new) = (lines('-', &listed, &found), lines('+', &found, &listed));
    assert!(
        gone.is_empty() && new.is_empty(),
        "the public API is not that of {FIXTURE}:{gone}{new}\n\
         A line with - breaks programs that use the item. If the change is intended, accept it and commit the file:\n  \
         {ACCEPT}=1 cargo test --features bench --test it public_api\n"
    );
}

#[test]
fn methods_fields_variants_and_trait_items_are_in_the_list() {
    let lib = "
        mod inner;
        pub use inner::{Options, Shape as Form, Draw};
        pub use axum;
        pub mod area { pub fn of(form: &crate::Form) -> f64 { 0.0 } fn hidden() {} }
        #[doc(hidden)] pub mod internal { pub struct Secret; }
        #[cfg(feature = \"server\")] pub use inner::MOST;
    ";
    let inner = "
        #[derive(Debug, Clone)]
        pub struct Options<'a, T: Default = ()> { pub name: &'a str, secret: T }
        #[non_exhaustive]
        pub enum Shape { Dot, Line(f64, [u8; 2]), Box { width: u32 } }
        pub trait Draw<P: ?Sized>: Send + 'static where P: Clone {
            type Output;
            const SIZE: usize = 1;
            fn draw(&self, with: impl Fn(P) -> (u8, Self::Output)) -> Result<(), Box<dyn Error>>;
            fn twice(&mut self) {}
        }
        impl<'a, T: Default> Options<'a, T> {
            pub fn new() -> Self { todo!() }
            pub async fn send(self, to: Option<&'a mut [T]>) -> bool { true }
            pub const fn most() -> u8 { 1 }
            pub(crate) fn internal(&self) {}
            #[doc(hidden)]
            pub fn hidden(&self) {}
        }
        impl From<Shape> for u8 { fn from(_: Shape) -> u8 { 0 } }
        impl<F: Fn()> Draw<u8> for F {}
        impl std::fmt::Display for Shape {}
        impl Draw<u8> for Unlisted {}
        pub const MOST: usize = 7;
        #[cfg(test)] mod tests { impl super::Shape { pub fn of_tests() {} } }
    ";
    let index = CrateIndex::of([("lib.rs", lib), ("inner.rs", inner)]);
    let found: Vec<String> = public_api(&index).into_iter().collect();
    for line in [
        "const cortado::MOST: usize",
        "enum cortado::Form #[non_exhaustive]",
        "fn cortado::area::of(form: &crate::Form) -> f64",
        "cortado::Form::Box { width: u32 }",
        "cortado::Form::Dot",
        "cortado::Form::Line(f64, [u8; 2])",
        "cortado::Options::name: &'a str",
        "fn cortado::Options::new() -> Self",
        "async fn cortado::Options::send(self, to: Option<&'a mut [T]>) -> bool",
        "const fn cortado::Options::most() -> u8",
        "struct cortado::Options<'a, T: Default = ()> { .. }",
        "derive cortado::Options: Clone",
        "impl From<Shape> for u8",
        "impl std::fmt::Display for Shape",
        "impl<F: Fn()> Draw<u8> for F",
        "trait cortado::Draw<P: ?Sized>: Send + 'static where P: Clone",
        "trait item cortado::Draw::type Output",
        "trait item cortado::Draw::const SIZE: usize = ..",
        "trait item cortado::Draw::fn draw(&self, with: impl Fn(P) -> (u8, Self::Output)) -> Result<(), Box<dyn Error>>",
        "trait item cortado::Draw::fn twice(&mut self) (provided)",
        "use axum as cortado::axum",
        "mod cortado::area",
    ] {
        assert!(found.contains(&line.to_owned()), "{line}: {found:#?}");
    }
    let hidden = ["Secret", "hidden", "internal", "of_tests", "secret"];
    let shown = found.iter().filter(|line| hidden.iter().any(|name| line.contains(name)));
    assert_eq!(shown.collect::<Vec<_>>(), Vec::<&String>::new());
}
