//! The vectors of `schemas/vectors` and of every release, and decoders that are given anything.

mod compare;
mod files;
mod generated;
mod hostile;
mod payloads;
mod vectors;
