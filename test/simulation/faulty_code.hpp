#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "test/simulation/careless_storage.hpp"
#include "test/simulation/storage_scenarios.hpp"

namespace weir::test {

inline Host::Code careless(Carelessness how) {
  Host::Code code;
  code.files = [how](FileSystem& files) { return std::make_unique<CarelessFiles>(files, how); };
  return code;
}

inline Host::Code careless(Shortcut how) {
  Host::Code code;
  code.storage = [how](FileSystem& files, Random& random) {
    return std::make_unique<CarelessStorage>(files, random, how);
  };
  return code;
}

/// Deletes the files of a checkpoint before its `_metadata`.
inline Host::Code deleting_backwards() {
  Host::Code code;
  code.habits = [](SmallJob& job) {
    job.deletion = [](CheckpointStorage& storage, const std::string& directory,
                      const SnapshotMetadata& metadata) -> Status {
      WEIR_TRY(delete_locations(storage, directory, metadata.locations));
      return delete_snapshot(storage, directory, metadata);
    };
  };
  return code;
}

/// Deletes with a checkpoint all files that it names, also those that later ones name.
inline Host::Code sharing_nothing() {
  Host::Code code;
  code.habits = [](SmallJob& job) {
    job.deletion = [](CheckpointStorage& storage, const std::string& directory,
                      const SnapshotMetadata& metadata) -> Status {
      WEIR_TRY(delete_snapshot(storage, directory, metadata));
      for (const DataLocation& location : metadata.locations)
        if (location.shared)
          WEIR_TRY(storage.remove(shared_directory(directory) + "/" + location.file));
      return {};
    };
  };
  return code;
}

}  // namespace weir::test
