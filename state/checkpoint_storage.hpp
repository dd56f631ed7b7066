#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "state/file_system.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// A file that appears whole or not at all.
/// Threads: one at a time. The destructor releases memory and descriptors and deletes nothing.
class StorageOutput {
 public:
  virtual ~StorageOutput() = default;
  [[nodiscard]] virtual Status append(std::string_view bytes) = 0;
  /// Makes the file durable and visible under its name; never replaces. At most once.
  /// After an error nothing is visible under the name. Errors: `already_exists`, `io_error`;
  /// `unavailable` if it is unknown whether the file will be there after a crash.
  [[nodiscard]] virtual Status publish() = 0;
  /// Gives the file up and removes what there is of it, also after a `publish`.
  virtual void discard() = 0;
};

/// Where snapshots lie. Promises that a file appears whole or not at all, and nothing about renames,
/// so that object stores fit. Paths are absolute, without a scheme.
/// Threads: any, concurrently. May block; actors never call it.
class CheckpointStorage {
 public:
  virtual ~CheckpointStorage() = default;
  /// Starts a file that will appear as `path`. Errors: `io_error`, `not_found`.
  [[nodiscard]] virtual Result<std::unique_ptr<StorageOutput>> create(const std::string& path) = 0;
  /// Opens a file that is there. Errors: `not_found`, `io_error`.
  [[nodiscard]] virtual Result<std::unique_ptr<InputFile>> open(const std::string& path) = 0;
  /// Creates a directory and its missing parents.
  [[nodiscard]] virtual Status create_directories(const std::string& path) = 0;
  /// The names in a directory, sorted. Errors: `not_found`, `io_error`.
  [[nodiscard]] virtual Result<std::vector<DirectoryEntry>> list(const std::string& directory) = 0;
  /// Removes a file or an empty directory, durably. Success if it is not there.
  [[nodiscard]] virtual Status remove(const std::string& path) = 0;
  /// Returns when a crash can neither take a name from `directory` nor bring a removed one back,
  /// whoever has created or removed it: a process may be killed before it has seen to that. Errors:
  /// `not_found`, `io_error`, `unsupported` (a file system that cannot promise it).
  [[nodiscard]] virtual Status make_durable(const std::string& directory) = 0;
  /// Keeps every other process out of `directory` until the lock is destroyed.
  [[nodiscard]] virtual Result<std::unique_ptr<DirectoryLock>> lock(
      const std::string& directory) = 0;
};

}  // namespace weir
