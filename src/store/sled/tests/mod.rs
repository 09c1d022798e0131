//! Tests of the store in a data directory: damage, leftovers, older and newer formats, directories that are removed or replaced,
//! and power cuts.

mod conversion;
mod damage;
mod gone;
mod leftovers;
mod newer;
mod power;
