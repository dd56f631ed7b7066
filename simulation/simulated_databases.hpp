#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/rocksdb/database_seams.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "simulation/seeded_random.hpp"

namespace rocksdb {
class ColumnFamilyHandle;
class Env;
}  // namespace rocksdb

namespace weir {

/// The working databases of simulated processes, and the local disk that they lie on. It is in memory, because what
/// it holds ends with its process: only snapshots outlive one, and these lie on the `SimulatedDisk`. No
/// database does anything by itself. What merges their files is drawn: between two steps (`merge_some`), or while
/// a snapshot holds on to the files, or reads them.
///
/// Nothing that is drawn depends on the bytes of a database's files, on their sizes or on their names, in which
/// RocksDB puts times and random numbers. How many files there are follows from what was flushed and merged.
/// Threads: one.
class SimulatedDatabases {
 public:
  /// `table_bytes`: what all tables in front of the databases of a process may take.
  SimulatedDatabases(std::uint64_t seed, std::size_t table_bytes);
  /// So little that changes are flushed and dropped often, seldom, or never; in some of the draws nothing: then each is at
  /// once.
  [[nodiscard]] static std::size_t draw_table_bytes(SeededRandom& random);
  ~SimulatedDatabases();
  SimulatedDatabases(const SimulatedDatabases&) = delete;
  SimulatedDatabases& operator=(const SimulatedDatabases&) = delete;

  /// What backends are given. It must not outlive this, and neither must databases.
  [[nodiscard]] std::shared_ptr<const DatabaseSeams> seams() const { return seams_; }
  /// Of a backend whose databases these are. Entries may be as large as with `configured`.
  [[nodiscard]] RocksDBStateBackend::Options options(
      const RocksDBStateBackend::Options& configured) const;

  /// An opportunity to merge some files of one state of one open database, or all of them, as compaction might; how
  /// often it is taken is drawn. Says what was done, empty if nothing was.
  std::string merge_some();
  /// Merges all files of each state of each open database into one.
  void merge_all();
  /// How many merges there were, in all.
  [[nodiscard]] std::uint64_t merges() const { return merges_; }

  /// The local disk refuses the `at`-th file from now that is written for a database or kept for a snapshot, counted
  /// from 1, and those behind it up to `times` in all.
  void refuse_files(std::uint64_t at, std::uint64_t times);
  /// Nothing is refused any more.
  void heal() { refusal_.reset(); }
  /// How many files were refused, in all.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  class NativeFiles;
  class Files;
  struct Opened {
    std::weak_ptr<RocksDBDatabase> database;
    std::string directory;
  };
  struct Refusal {
    std::uint64_t at = 1;
    std::uint64_t times = 1;
  };

  void note(const std::shared_ptr<RocksDBDatabase>& database);
  [[nodiscard]] std::vector<std::shared_ptr<RocksDBDatabase>> open() const;
  /// Merges files of `family` into level `to`; false if RocksDB refuses to.
  bool merge(RocksDBDatabase& database, rocksdb::ColumnFamilyHandle* family,
             const std::vector<std::string>& names, std::size_t to);
  /// A file is about to be made: whether the disk refuses it.
  bool refuses();
  /// A snapshot is about to use a file: a merge may come before it.
  void merge_meanwhile();

  SeededRandom random_;
  const std::size_t table_bytes_;
  const std::uint64_t opportunities_per_merge_;
  std::vector<Opened>
      databases_;  ///< in the order in which they were opened, also some closed ones
  std::uint64_t merges_ = 0;
  bool merging_ = false;
  std::optional<Refusal> refusal_;
  std::uint64_t refused_ = 0;
  const std::unique_ptr<rocksdb::Env> memory_;
  std::unique_ptr<Files> files_;
  std::shared_ptr<const DatabaseSeams> seams_;
};

}  // namespace weir
