#include "state/remove_tree.hpp"

namespace weir {

void remove_tree(FileSystem& files, const std::string& directory) {
  const auto entries = files.list(directory);
  if (!entries) return;
  for (const DirectoryEntry& entry : *entries) {
    const std::string path = directory + "/" + entry.name;
    if (entry.is_directory && !entry.is_symlink)
      remove_tree(files, path);
    else
      (void)files.remove(path);
  }
  (void)files.remove(directory);
}

}  // namespace weir
