//! The store in the files of a data directory: damage, files that others left, newer formats, directories that go
//! away, and power cuts.

mod damage;
mod gone;
mod leftovers;
mod newer;
mod power;
