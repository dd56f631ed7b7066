#pragma once

#include <string>

#include "state/file_system.hpp"

namespace weir {

/// Removes `directory` and all that is in it, as far as that is possible; a symbolic link itself, never
/// its target. For working files that nobody reads again: of what stays there is nobody to be told.
/// Threads: any; blocks.
void remove_tree(FileSystem& files, const std::string& directory);

}  // namespace weir
