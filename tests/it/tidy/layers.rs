//! The layers: the table in `ARCHITECTURE.md` lists which other parts each part of the crate may name, and the imports
//! must match it exactly.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Crate;
use super::read;

/// The part that assembles all others.
const SEES_ALL: &str = "app";

/// The parts that each part may name, in the order of the table.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let text = read("ARCHITECTURE.md");
    let (_, table) = text.split_once("| part | what it may name |\n|---|---|\n").unwrap();
    let names = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let mut rows = Vec::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        for part in names(cells[1]) {
            rows.push((part, names(cells[2]).into_iter().collect()));
        }
    }
    rows
}

#[test]
fn a_part_names_what_the_table_of_layers_says() {
    let crate_ = Crate::read();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = String::new();
    let table: BTreeMap<_, _> = table().into_iter().collect();
    for ((part, named), files) in crate_.parts() {
        let Some(may) = table.get(&part) else {
            assert_eq!(part, SEES_ALL, "ARCHITECTURE.md has no layer for src/{part}");
            continue;
        };
        if !may.contains(&named) {
            wrong += &format!("{part} may not name {named}, which {files:?} does\n");
        }
        used.entry(part).or_default().insert(named);
    }
    for (part, may) in &table {
        for named in
            may.iter().filter(|named| !used.get(part).is_some_and(|it| it.contains(*named)))
        {
            wrong += &format!("{part} does not name {named}: take it out of ARCHITECTURE.md\n");
        }
    }
    assert!(wrong.is_empty(), "the layers are not those of ARCHITECTURE.md:\n{wrong}");
}

#[test]
fn a_layer_names_only_those_above_it_in_the_table() {
    let mut above = BTreeSet::new();
    for (part, may) in table() {
        assert!(may.is_subset(&above), "{part} names {:?}", may.difference(&above));
        above.insert(part);
    }
    let parts = read("src/lib.rs");
    let parts = parts.lines().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
    let mut parts: BTreeSet<String> = parts.map(str::to_owned).collect();
    parts.remove(SEES_ALL);
    assert_eq!(above, parts, "the table has a row for each part of src/lib.rs");
}
