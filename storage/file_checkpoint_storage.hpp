#pragma once

#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"

namespace weir {

/// Snapshots in the directories of a file system. A file is written under a temporary name (a dot, its
/// name, a random part), synced, closed, renamed without replacing, and its directory is synced. A
/// failed sync gives the file up; it is never tried again.
class FileCheckpointStorage final : public CheckpointStorage {
 public:
  /// Both outlive the storage and what it creates.
  FileCheckpointStorage(FileSystem& files, Random& random) : files_(files), random_(random) {}

  [[nodiscard]] Result<std::unique_ptr<StorageOutput>> create(const std::string& path) override;
  [[nodiscard]] Result<std::unique_ptr<InputFile>> open(const std::string& path) override;
  [[nodiscard]] Status create_directories(const std::string& path) override;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list(const std::string& directory) override;
  [[nodiscard]] Status remove(const std::string& path) override;
  [[nodiscard]] Status make_durable(const std::string& directory) override;
  [[nodiscard]] Result<std::unique_ptr<DirectoryLock>> lock(const std::string& directory) override;

 private:
  FileSystem& files_;
  Random& random_;
};

}  // namespace weir
