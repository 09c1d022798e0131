//! Checks a program of the `command` kind.

use std::path::Path;

use super::InvalidSettings;
use crate::config::file::CommandSection;
use crate::config::ranges;
use crate::handlers::command;
use crate::job::{Invalid, Kind, Secret};

impl InvalidSettings {
    pub(super) fn program(
        &mut self,
        key: &str,
        name: &str,
        section: &CommandSection,
    ) -> Option<command::Program> {
        let before = self.0.len();
        // A command has a name like that of a kind.
        self.take(key, Kind::parse(name).map_err(|wrong| Invalid { what: "the name", ..wrong }));
        // A relative path would depend on the server's working directory or on `cwd`.
        let program = &section.program;
        if program.is_empty() || (program.contains('/') && !Path::new(program).is_absolute()) {
            self.add(
                format!("{key}.program"),
                format!("{program:?} is neither an absolute path nor a name to look up in PATH"),
            );
        }
        if section.cwd.as_ref().is_some_and(|cwd| cwd.as_os_str().is_empty()) {
            self.add(format!("{key}.cwd"), "must be a directory, but is empty");
        }
        for (at, code) in section.discard_codes.iter().enumerate() {
            self.take(format!("{key}.discard_codes[{at}]"), ranges::DISCARD_CODES.check(*code));
        }
        let bad = |text: &str| text.contains('\0');
        for (name, value) in section.env.expose() {
            if name.is_empty() || name.contains('=') || bad(name) || bad(value) {
                self.add(
                    format!("{key}.env"),
                    format!("{name:?} is not a valid variable name, or its value has a NUL"),
                );
            }
        }
        let args: Vec<_> = section
            .args
            .expose()
            .iter()
            .enumerate()
            .filter_map(|(n, text)| {
                let parsed: Result<command::Template, _> = text.parse();
                self.take(format!("{key}.args[{n}]"), parsed)
            })
            .collect();
        (self.0.len() == before).then(|| command::Program {
            program: program.clone(),
            args,
            env: section
                .env
                .expose()
                .iter()
                .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
                .collect(),
            cwd: section.cwd.clone(),
            stdin: section.stdin,
            discard_codes: section.discard_codes.clone(),
            max_output_lines: section.max_output_lines,
            dashes: section.dashes,
        })
    }
}
