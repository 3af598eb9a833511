//! Maps in the words of other runtimes: said exactly or refused, read back, and no worse than theirs.

mod commands;
mod foreign;
mod honest;
mod optimum;
