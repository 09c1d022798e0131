//! The last stage of the Dockerfile, which is what the image consists of.

use crate::tidy::read;

/// The path of the file from the root of the repository.
pub const PATH: &str = "docs/deploy/Dockerfile";

/// The instructions of the last stage in their order: each with its words behind it.
pub struct LastStage(Vec<(String, String)>);

/// A `COPY` instruction.
pub struct Copy {
    /// The path in the stage that builds.
    pub from: String,
    /// The path in the image.
    pub to: String,
    /// `USER:GROUP`, as numbers.
    pub owner: Option<String>,
}

impl LastStage {
    pub fn read() -> LastStage {
        let text = read(PATH);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let joined = lines.join("\n").replace("\\\n", " ");
        let instructions = joined.lines().filter(|line| !line.is_empty()).map(|line| {
            let (name, words) = line.split_once(' ').unwrap();
            (name.to_owned(), words.split_whitespace().collect::<Vec<_>>().join(" "))
        });
        let all: Vec<_> = instructions.collect();
        let from = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
        LastStage(all[from..].to_vec())
    }

    /// The words behind the only instruction with this name.
    pub fn only(&self, name: &str) -> &str {
        let mut found = self.0.iter().filter(|(other, _)| other == name);
        let (_, words) = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} is there twice");
        words
    }

    /// The names of all instructions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The names and values of the only `ENV` or `LABEL` instruction.
    pub fn pairs(&self, name: &str) -> Vec<(String, String)> {
        let (mut pairs, mut rest) = (Vec::new(), self.only(name));
        while let Some((name, value)) = rest.split_once('=') {
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap(),
                None => value.split_once(' ').unwrap_or((value, "")),
            };
            pairs.push((name.to_owned(), value.to_owned()));
            rest = after.trim_start();
        }
        assert!(rest.is_empty(), "{rest}");
        pairs
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> String {
        let mut pairs = self.pairs("ENV").into_iter();
        pairs.find(|(other, _)| other == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    pub fn copies(&self) -> Vec<Copy> {
        let copies = self.0.iter().filter(|(name, _)| name == "COPY").map(|(_, words)| {
            let (flags, paths): (Vec<_>, Vec<_>) =
                words.split(' ').partition(|word| word.starts_with("--"));
            let [from, to] = paths[..] else { panic!("{words}") };
            assert!(flags.contains(&"--from=build"), "{words}");
            let owner = flags.iter().find_map(|flag| flag.strip_prefix("--chown="));
            Copy { from: from.to_owned(), to: to.to_owned(), owner: owner.map(str::to_owned) }
        });
        copies.collect()
    }

    /// The words of an instruction in the form of a JSON list.
    pub fn list(&self, name: &str) -> Vec<String> {
        json_list(self.only(name))
    }

    /// The flags of the health check, and its command.
    pub fn health_check(&self) -> (Vec<(String, String)>, Vec<String>) {
        let (flags, command) = self.only("HEALTHCHECK").split_once(" CMD ").unwrap();
        let flags = flags.split(' ').map(|flag| {
            let (name, value) = flag.strip_prefix("--").unwrap().split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        (flags.collect(), json_list(command))
    }
}

fn json_list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
