#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "simulation/path_parts.hpp"
#include "simulation/seeded_random.hpp"
#include "simulation/simulated_file_system.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "storage/file_checkpoint_storage.hpp"

namespace weir::test {

/// A disk with the snapshots of one job, for those who look at what happens on it.
struct WatchedDisk {
  static constexpr JobId job{1, 2};
  static constexpr const char* checkpoints = "/checkpoints";

  static std::string directory(std::uint64_t number) {
    return checkpoint_directory(checkpoints, job, {number});
  }
  /// Writes the file `path` as code that is wrong might: nothing is synced.
  void write(SimulatedFileSystem& by, const std::string& path, const std::string& content = "x") {
    REQUIRE(by.create_directories(directory_of(path)));
    const auto file = by.create(path);
    REQUIRE(file);
    REQUIRE((*file)->append(content));
    REQUIRE((*file)->close());
  }
  void write(const std::string& path, const std::string& content = "x") {
    write(files, path, content);
  }
  /// A complete snapshot in `directory` that refers to files beside it and shared ones, which are there.
  void complete(const std::string& directory, std::uint64_t number,
                const std::vector<std::string>& own, const std::vector<std::string>& shared = {}) {
    SnapshotMetadata metadata;
    metadata.job = job;
    metadata.job_name = "job";
    metadata.checkpoint = {number};
    metadata.completed_at_ms = ++time;
    for (const auto* list : {&own, &shared})
      for (const std::string& name : *list) {
        DataLocation location;
        location.file = name;
        location.shared = list == &shared;
        metadata.locations.push_back(location);
        const std::string path =
            (location.shared ? shared_directory(directory) : directory) + "/" + name;
        if (!files.stat(path)) write(path, name);
      }
    REQUIRE(write_metadata(storage, directory, metadata, random));
  }

  std::shared_ptr<SimulatedDisk> disk = std::make_shared<SimulatedDisk>();
  SimulatedFileSystem files{disk, "JobManager-1"};
  SeededRandom random{1};
  FileCheckpointStorage storage{files, random};
  std::int64_t time = 0;
};

}  // namespace weir::test
