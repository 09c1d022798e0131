//! A model of a disk that replays recorded file operations and writes images of what a power cut may leave. Synced
//! data and synced names always survive. Of everything else any part may survive, names and data independently of each
//! other. A rename is atomic, as on every journalling file system, and durable once its target's directory is synced.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use fastrand::Rng;

const PAGE: usize = 4_096;

/// How much of the unsynced changes survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    Nothing,
    Some,
    Everything,
}

impl Survival {
    const ALL: [Survival; 3] = [Survival::Nothing, Survival::Some, Survival::Everything];

    /// Every combination of survival for names and for data.
    pub fn pairs() -> impl Iterator<Item = (Survival, Survival)> {
        Survival::ALL.into_iter().flat_map(|names| Survival::ALL.map(|data| (names, data)))
    }

    fn takes(self, random: &mut Rng) -> bool {
        match self {
            Survival::Nothing => false,
            Survival::Some => random.bool(),
            Survival::Everything => true,
        }
    }
}

/// One operation of the recording; see `record.c`.
#[derive(Debug, Clone)]
pub enum Operation {
    Create { inode: u64, path: PathBuf, is_dir: bool },
    Write { inode: u64, offset: usize, bytes: Range<usize> },
    Fill { inode: u64, offset: usize, length: usize, byte: u8 },
    Truncate { inode: u64, length: usize },
    Sync { inode: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

impl Operation {
    /// Whether the operation changes names or makes something durable: where the order of operations matters.
    pub fn is_critical(&self) -> bool {
        match self {
            Operation::Create { .. }
            | Operation::Sync { .. }
            | Operation::Rename { .. }
            | Operation::Remove { .. } => true,
            Operation::Write { .. } | Operation::Fill { .. } | Operation::Truncate { .. } => false,
        }
    }
}

/// The operations of a recording, each with the offset in the recording where it ends.
pub fn parse(recording: &[u8]) -> Vec<(usize, Operation)> {
    let mut operations = Vec::new();
    let mut at = 0;
    while let Some(length) = recording[at..].iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&recording[at..at + length]).unwrap();
        at += length + 1;
        let (letter, rest) = line.split_once(' ').unwrap();
        let number = |n: usize| rest.split(' ').nth(n).unwrap().parse::<usize>().unwrap();
        let named = || rest.split_once(' ').unwrap().1;
        let inode = || number(0) as u64;
        let operation = match letter {
            "C" | "K" => {
                Operation::Create { inode: inode(), path: named().into(), is_dir: letter == "K" }
            }
            "W" => {
                let bytes = at..at + number(2);
                at = bytes.end + 1;
                Operation::Write { inode: inode(), offset: number(1), bytes }
            }
            "F" => Operation::Fill {
                inode: inode(),
                offset: number(1),
                length: number(2),
                byte: number(3) as u8,
            },
            "T" => Operation::Truncate { inode: inode(), length: number(1) },
            "S" => Operation::Sync { inode: inode() },
            "R" => {
                let (from, to) = rest.split_once('\t').unwrap();
                Operation::Rename { from: from.into(), to: to.into() }
            }
            "U" => Operation::Remove { path: rest.into() },
            other => panic!("an unknown operation {other}"),
        };
        operations.push((at, operation));
    }
    operations
}

type Id = usize;

enum Node {
    File(File),
    Dir(Dir),
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// The names in a directory as processes see them, and as they are durable on the disk.
#[derive(Default)]
struct Dir {
    live: BTreeMap<String, Id>,
    durable: BTreeMap<String, Id>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Range<usize> },
    Fill { offset: usize, length: usize, byte: u8 },
    Truncate(usize),
}

/// A change of names that has not been synced.
#[derive(Clone)]
enum Naming {
    Add { dir: Id, name: String, node: Id },
    Remove { dir: Id, name: String },
    Rename { from: (Id, String), to: (Id, String), node: Id },
}

impl Naming {
    /// The directory whose sync makes the change durable.
    fn home(&self) -> Id {
        match self {
            Naming::Add { dir, .. } | Naming::Remove { dir, .. } => *dir,
            Naming::Rename { to, .. } => to.0,
        }
    }
}

/// The replayed disk.
pub struct Disk<'a> {
    recording: &'a [u8],
    base: PathBuf,
    nodes: Vec<Node>,
    inodes: HashMap<u64, Id>,
    pending: Vec<Naming>,
}

const ROOT: Id = 0;

impl<'a> Disk<'a> {
    /// An empty disk whose root is the directory `base` with this inode number.
    pub fn new(recording: &'a [u8], base: &Path, inode: u64) -> Disk<'a> {
        Disk {
            recording,
            base: base.to_owned(),
            nodes: vec![Node::Dir(Dir::default())],
            inodes: HashMap::from([(inode, ROOT)]),
            pending: Vec::new(),
        }
    }

    pub fn replay(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { inode, path, is_dir } => {
                let node = match is_dir {
                    true => Node::Dir(Dir::default()),
                    false => Node::File(File::default()),
                };
                self.nodes.push(node);
                let node = self.nodes.len() - 1;
                self.inodes.insert(*inode, node);
                let (dir, name) = self.place(path);
                self.dir(dir).live.insert(name.clone(), node);
                self.pending.push(Naming::Add { dir, name, node });
            }
            Operation::Write { inode, offset, bytes } => {
                self.change(*inode, Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Operation::Fill { inode, offset, length, byte } => {
                let (offset, length, byte) = (*offset, *length, *byte);
                self.change(*inode, Change::Fill { offset, length, byte });
            }
            Operation::Truncate { inode, length } => self.change(*inode, Change::Truncate(*length)),
            Operation::Sync { inode } => {
                if let Some(id) = self.inodes.get(inode) {
                    self.sync(*id);
                }
            }
            Operation::Rename { from, to } => {
                let (from, to) = (self.place(from), self.place(to));
                let node = self.dir(from.0).live.remove(&from.1).expect("an existing name");
                self.dir(to.0).live.insert(to.1.clone(), node);
                self.pending.push(Naming::Rename { from, to, node });
            }
            Operation::Remove { path } => {
                let (dir, name) = self.place(path);
                self.dir(dir).live.remove(&name);
                self.pending.push(Naming::Remove { dir, name });
            }
        }
    }

    /// Replays a `sync` of another process, which makes everything durable.
    pub fn sync_all(&mut self) {
        (0..self.nodes.len()).for_each(|id| self.sync(id));
    }

    fn sync(&mut self, id: Id) {
        match &mut self.nodes[id] {
            Node::File(file) => {
                let changes = std::mem::take(&mut file.pending);
                changes.iter().for_each(|change| {
                    write(&mut file.durable, self.recording, change, |_| true);
                });
            }
            Node::Dir(_) => {
                let (reached, pending): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.pending).into_iter().partition(|one| one.home() == id);
                self.pending = pending;
                for naming in reached {
                    self.apply(&naming);
                }
            }
        }
    }

    fn apply(&mut self, naming: &Naming) {
        match naming {
            Naming::Add { dir, name, node } => {
                self.dir(*dir).durable.insert(name.clone(), *node);
            }
            Naming::Remove { dir, name } => {
                self.dir(*dir).durable.remove(name);
            }
            Naming::Rename { from, to, node } => {
                let old = &mut self.dir(from.0).durable;
                if old.get(&from.1) == Some(node) {
                    old.remove(&from.1);
                }
                self.dir(to.0).durable.insert(to.1.clone(), *node);
            }
        }
    }

    /// Writes to `target` what a power cut may leave at this point of the replay.
    pub fn image(&self, target: &Path, random: &mut Rng, (names, data): (Survival, Survival)) {
        let mut after = Disk {
            recording: self.recording,
            base: self.base.clone(),
            nodes: Vec::new(),
            inodes: HashMap::new(),
            pending: Vec::new(),
        };
        after.nodes.extend(self.nodes.iter().map(|node| match node {
            Node::File(_) => Node::File(File::default()),
            Node::Dir(dir) => {
                Node::Dir(Dir { live: BTreeMap::new(), durable: dir.durable.clone() })
            }
        }));
        for naming in &self.pending {
            if names.takes(random) {
                after.apply(naming);
            }
        }
        self.write_out(&after, ROOT, target, random, data);
    }

    fn write_out(
        &self,
        after: &Disk,
        dir: Id,
        target: &Path,
        random: &mut Rng,
        survival: Survival,
    ) {
        std::fs::create_dir_all(target).unwrap();
        let Node::Dir(names) = &after.nodes[dir] else { panic!("not a directory") };
        for (name, id) in &names.durable {
            let target = target.join(name);
            match &self.nodes[*id] {
                Node::Dir(_) => self.write_out(after, *id, &target, random, survival),
                Node::File(file) => {
                    let mut content = file.durable.clone();
                    for change in &file.pending {
                        write(&mut content, self.recording, change, |_| survival.takes(random));
                    }
                    std::fs::write(target, content).unwrap();
                }
            }
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        // The file is not in the recorded directory.
        let Some(id) = self.inodes.get(&inode) else { return };
        match &mut self.nodes[*id] {
            Node::File(file) => file.pending.push(change),
            Node::Dir(_) => panic!("a write to a directory"),
        }
    }

    /// The directory that contains a path, and its name there.
    fn place(&mut self, path: &Path) -> (Id, String) {
        let below = path.strip_prefix(&self.base).unwrap();
        let mut names: Vec<String> = below
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str().unwrap().to_owned(),
                other => panic!("{other:?} in a path"),
            })
            .collect();
        let name = names.pop().expect("a path below the directory");
        let dir = names.iter().fold(ROOT, |dir, name| self.dir(dir).live[name]);
        (dir, name)
    }

    fn dir(&mut self, id: Id) -> &mut Dir {
        match &mut self.nodes[id] {
            Node::Dir(dir) => dir,
            Node::File(_) => panic!("a file where a directory is expected"),
        }
    }
}

/// Applies those pages of a change that survive.
fn write(
    content: &mut Vec<u8>,
    recording: &[u8],
    change: &Change,
    mut survives: impl FnMut(usize) -> bool,
) {
    let (offset, length) = match change {
        Change::Truncate(length) => {
            if survives(0) {
                content.resize(*length, 0);
            }
            return;
        }
        Change::Write { offset, bytes } => (*offset, bytes.len()),
        Change::Fill { offset, length, .. } => (*offset, *length),
    };
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let next = ((at / PAGE + 1) * PAGE).min(end);
        if survives(at / PAGE) {
            if content.len() < next {
                content.resize(next, 0);
            }
            match change {
                Change::Write { bytes, .. } => {
                    let from = bytes.start + (at - offset);
                    content[at..next].copy_from_slice(&recording[from..from + (next - at)]);
                }
                Change::Fill { byte, .. } => content[at..next].fill(*byte),
                Change::Truncate(_) => {}
            }
        }
        at = next;
    }
}
