#pragma once

namespace weir {

/// The `weir` command: reads its words, does what they say, returns the exit code.
/// Threads: to be called before any other thread exists.
int run_program(int argc, char** argv);

}  // namespace weir
