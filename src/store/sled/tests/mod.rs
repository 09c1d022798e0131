//! Tests of the log and of the store in a data directory: the rules of logs, damage, leftovers, older and newer formats,
//! directories that are removed or replaced, and power cuts.

mod contract;
mod conversion;
mod damage;
mod gone;
mod leftovers;
mod newer;
mod power;
