#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "state/extents.hpp"
#include "state/keyed_state.hpp"
#include "test/state/memory_payload.hpp"

// The backends of the contract, and what their callers do with their snapshots. A new backend is one line in
// `all_backends`.
namespace weir::test {

struct BackendUnderTest {
  std::string name;
  std::function<std::unique_ptr<StateBackend>()> make;
  SnapshotForm form = SnapshotForm::canonical;  ///< of the snapshots that it is asked for
};

inline std::unique_ptr<StateBackend> make_memory() {
  return std::make_unique<MemoryStateBackend>(
      MemoryStateBackend::default_max_state_bytes, MemoryStateBackend::default_max_payload_bytes,
      std::make_shared<MemoryBudget>(), RocksDBStateBackend::file_reader());
}
inline std::unique_ptr<StateBackend> make_fs() {
  return std::make_unique<FsStateBackend>(FsStateBackend::default_memory_threshold_bytes,
                                          std::make_shared<MemoryBudget>(),
                                          RocksDBStateBackend::file_reader());
}

inline const std::vector<BackendUnderTest>& all_backends() {
  static const std::vector<BackendUnderTest> backends{
      {"memory", make_memory},
      {"fs", make_fs},
      {"fs native", make_fs, SnapshotForm::native},
      {"fs incremental", make_fs, SnapshotForm::incremental},
      {"rocksdb", [] { return std::make_unique<RocksDBStateBackend>(); }},
      {"rocksdb native", [] { return std::make_unique<RocksDBStateBackend>(); },
       SnapshotForm::native},
      {"rocksdb incremental", [] { return std::make_unique<RocksDBStateBackend>(); },
       SnapshotForm::incremental},
      // Everything is flushed and evicted all the time, or much of it.
      {"rocksdb without memory",
       [] {
         return std::make_unique<RocksDBStateBackend>(
             RocksDBStateBackend::Options{.memory_bytes = 1 << 20, .table_ratio = 0});
       }},
      {"rocksdb, tiny budget",
       [] {
         return std::make_unique<RocksDBStateBackend>(
             RocksDBStateBackend::Options{.memory_bytes = 1 << 20, .table_ratio = 0.4});
       }},
  };
  return backends;
}

inline const BackendUnderTest& backend_named(const std::string& name) {
  return *std::ranges::find(all_backends(), name, &BackendUnderTest::name);
}

constexpr std::uint32_t max_parallelism = 16;

/// A key that is neither compact nor of varying width.
struct WideKey {
  std::uint64_t high = 0;
  std::uint32_t low = 0;
};
WEIR_FIELDS(WideKey, high, low)

/// The `i`-th key of a type; 0 of an integer type is the word 0.
template <class K>
K make_key(std::uint64_t i) {
  if constexpr (std::is_same_v<K, std::string>)
    return std::string(i % 40, 'k') + std::to_string(i);
  else if constexpr (std::is_same_v<K, WideKey>)
    return {i * 7, static_cast<std::uint32_t>(i)};
  else
    return static_cast<K>(i);
}

/// One subtask's snapshot as its acknowledgement and its files hold it.
struct Snapshot {
  std::vector<StateDeclaration> declarations;
  std::vector<KeyedStateHandle> handles;
  std::vector<std::string> payloads;    ///< by location
  std::vector<DataLocation> locations;  ///< the first is what this snapshot wrote
};

/// The payloads of the files that snapshots have written, by name.
inline std::map<std::string, std::string>& written_files() {
  static std::map<std::string, std::string> files;
  return files;
}

/// What a snapshot holds, or should hold: state, entry key, encoded value.
using Contents = std::map<std::string, std::map<std::string, std::string>>;

/// The snapshot that a task has written into a file of its own.
inline Snapshot assemble(KeyedSnapshot written, std::string payload, bool shared,
                         std::vector<StateDeclaration> declarations) {
  DataLocation location;
  location.file = "data-" + std::to_string(written_files().size());
  location.size_bytes = payload.size();
  location.shared = shared;
  written_files()[location.file] = std::move(payload);
  Snapshot snapshot{std::move(declarations), std::move(written.handles), {}, {location}};
  std::ranges::copy(written.reused, std::back_inserter(snapshot.locations));
  for (const DataLocation& one : snapshot.locations)
    snapshot.payloads.push_back(written_files().at(one.file));
  return snapshot;
}

/// Writes a snapshot and says that it is durable.
inline Snapshot run(SnapshotTask& task, std::vector<StateDeclaration> declarations) {
  BytesSink sink;
  auto written = task.run(sink);
  REQUIRE(written);
  Snapshot snapshot = assemble(std::move(*written), std::move(sink.bytes), task.is_shared(),
                               std::move(declarations));
  task.payload_durable(snapshot.locations[0]);
  return snapshot;
}

/// Loads all that is to be restored, as a task does with one piece a step.
inline Status load_restored(KeyedStateBackend& keyed) {
  for (;;) {
    WEIR_TRY_ASSIGN(all, keyed.load_restored());
    if (all) return {};
  }
}

/// The restored states of one subtask, as the caller of a backend assembles them.
inline std::vector<RestoredKeyedState> restored_of(const std::vector<Snapshot>& snapshots,
                                                   KeyGroupRange groups) {
  std::vector<RestoredKeyedState> restored;
  for (const Snapshot& snapshot : snapshots) {
    for (const KeyedStateHandle& handle : snapshot.handles) {
      auto state = std::ranges::find_if(restored, [&](const RestoredKeyedState& one) {
        return one.declaration.name == handle.state;
      });
      if (state == restored.end())
        state = restored.insert(
            state,
            {*std::ranges::find(snapshot.declarations, handle.state, &StateDeclaration::name), {}});
      RestoredKeyedState::Part part{
          std::make_shared<BytesSource>(snapshot.payloads.at(handle.location)),
          {},
          handle.format,
          handle.sequence,
          snapshot.locations.at(handle.location)};
      for (const KeyGroupExtent& extent : handle.groups)
        if (handle.format == StateFormat::files || groups.contains(extent.group))
          part.groups.push_back(extent);
      state->parts.push_back(std::move(part));
    }
  }
  return restored;
}

/// Those of `snapshots`, one for each subtask, that have a key group of `groups`.
inline std::vector<Snapshot> snapshots_for(const std::vector<Snapshot>& snapshots,
                                           KeyGroupRange groups) {
  std::vector<Snapshot> some;
  for (std::uint32_t i = 0; i < snapshots.size(); ++i) {
    const KeyGroupRange owned =
        key_group_range(i, static_cast<std::uint32_t>(snapshots.size()), max_parallelism);
    if (owned.first < groups.end && groups.first < owned.end) some.push_back(snapshots[i]);
  }
  return some;
}

inline bool is_canonical(const Snapshot& snapshot) {
  return std::ranges::all_of(snapshot.handles, [](const KeyedStateHandle& handle) {
    return handle.format == StateFormat::canonical;
  });
}

/// What a canonical snapshot holds.
inline Contents canonical_contents(const Snapshot& snapshot, std::size_t key_width) {
  REQUIRE(is_canonical(snapshot));
  Contents contents;
  for (const KeyedStateHandle& handle : snapshot.handles) {
    BytesSource source(snapshot.payloads.at(handle.location));
    for (const KeyGroupExtent& extent : handle.groups) {
      const auto read = read_extent(source, extent, key_width, [&](auto key, auto value) -> Status {
        contents[handle.state][std::string(key)] = value;
        return {};
      });
      REQUIRE(read);
    }
  }
  return contents;
}

}  // namespace weir::test
