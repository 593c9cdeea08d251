//! `linux.resources` of the runtime-spec (config-linux.md, "Control groups").
