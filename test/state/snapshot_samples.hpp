#pragma once

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <map>
#include <string>

#include <xxhash.h>

#include "state/block_file.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/entry_key.hpp"
#include "state/key_groups.hpp"
#include "state/snapshot_io.hpp"
#include "test/state/memory_storage.hpp"

namespace weir::test {

inline const JobId sample_job{0x0123456789abcdefU, 0xfedcba9876543210U};

/// Appends one entry of keyed state as data files hold it.
inline void append_entry(const EntryKey& key, std::size_t key_width, std::string_view value,
                         std::string& out) {
  std::string encoded;
  append_entry_key(key, key_width, encoded);
  ByteWriter writer(out);
  writer.string(encoded);
  writer.string(value);
}

inline std::uint64_t checksum(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

/// The counts of three words at maximum parallelism 4 (here the length of each word), as far as their
/// key groups lie in `range`: payload and extents.
struct SampleCounts {
  std::string payload;
  std::vector<KeyGroupExtent> groups;
};
inline SampleCounts sample_counts(KeyGroupRange range) {
  SampleCounts result;
  for (std::uint32_t group = range.first; group < range.end; ++group) {
    std::map<std::string, std::string> entries;
    for (const std::string word : {"stone", "water", "weir"}) {
      if (key_group_of(hash_key(word), 4) != group) continue;
      entries[word] = encode_value(std::int64_t(word.size()));
    }
    if (entries.empty()) continue;
    KeyGroupExtent extent{group, result.payload.size(), 0, entries.size(), 0};
    for (const auto& [word, value] : entries)
      append_entry({group, encode_value(word), {}, {}}, 0, value, result.payload);
    extent.length = result.payload.size() - extent.offset;
    extent.checksum = checksum(std::string_view(result.payload).substr(extent.offset));
    result.groups.push_back(extent);
  }
  return result;
}

/// Writes a complete checkpoint 7 of `sample_job` into `directory`: operator "counts" with two subtasks,
/// the first one's state in a file of several blocks, the second one's inline; operator "source" with
/// operator state and channel state. Returns its metadata.
inline SnapshotMetadata write_sample(CheckpointStorage& storage, const std::string& directory,
                                     Random& random, std::uint64_t checkpoint = 7,
                                     std::uint64_t epoch = 1, std::size_t filler_bytes = 70'000) {
  SnapshotMetadata metadata;
  metadata.job = sample_job;
  metadata.job_name = "word-count";
  metadata.checkpoint = {checkpoint};
  metadata.epoch = {epoch};
  metadata.triggered_at_ms = 1'700'000'000'000;
  metadata.completed_at_ms = 1'700'000'000'000 + static_cast<std::int64_t>(checkpoint);

  OperatorSnapshot counts;
  counts.uid = "counts";
  counts.name = "count words";
  counts.parallelism = 2;
  counts.max_parallelism = 4;
  counts.states.push_back(
      {"count", StateKind::value, schema_of<std::string>(), schema_of<std::int64_t>()});
  OperatorSnapshot source;
  source.uid = "source";
  source.name = "lines";
  source.generated_uid = true;
  source.parallelism = 1;
  source.max_parallelism = 128;
  source.states.push_back(
      {"splits", StateKind::operator_list, std::nullopt, schema_of<std::string>()});

  for (std::uint32_t subtask = 0; subtask < 2; ++subtask) {
    SnapshotPlacement placement;
    placement.inline_threshold_bytes = subtask == 0 ? 0 : 1 << 20;
    TaskSnapshotWriter writer(&storage, directory,
                              data_file_name({epoch}, {checkpoint}, {1, subtask, 0}, random),
                              placement, random);
    const auto sample = sample_counts(key_group_range(subtask, 2, 4));
    writer.begin_state("count");
    WEIR_ASSERT(writer.append(sample.payload));
    OperatorSubtaskSnapshot share{subtask, false, {{"count", subtask, sample.groups}}, {}, {}};
    if (subtask == 0) {
      const std::string filler(filler_bytes, 'f');
      share.channels.push_back(
          {"source", "", "counts", 0, 0, writer.position(), filler.size(), checksum(filler)});
      WEIR_ASSERT(writer.append(filler));
    }
    counts.subtasks.push_back(std::move(share));
    auto location = writer.finish();
    WEIR_ASSERT(location);
    metadata.locations.push_back(*location);
  }
  const std::string splits =
      encode_value(std::string("first")) + encode_value(std::string("second"));
  metadata.locations.push_back({"", 0, splits.size(), SharedBytes(splits)});
  source.subtasks.push_back(
      {0, true, {}, {{"splits", 2, 0, splits.size(), checksum(splits), {0, 9}}}, {}});
  metadata.operators = {source, counts};
  WEIR_ASSERT(write_metadata(storage, directory, metadata, random));
  return metadata;
}

/// Makes the sample in `directory` an incremental checkpoint whose data file is shared: subtask 0 consists of
/// a piece of an older checkpoint. Returns the path of the file.
inline std::string share_sample(MemoryStorage& storage, const std::string& directory,
                                SnapshotMetadata& metadata) {
  DataLocation& location = metadata.locations[0];
  const std::string path = shared_directory(directory) + "/" + location.file;
  storage.put(path, storage.bytes(directory + "/" + location.file));
  storage.files.erase(directory + "/" + location.file);
  location.shared = true;
  metadata.kind = SnapshotKind::checkpoint;
  KeyedStateHandle& handle = metadata.operators[1].subtasks[0].keyed[0];
  handle.format = StateFormat::segments;
  handle.sequence = metadata.checkpoint.value;
  storage.put(directory + "/_metadata", encode_metadata(metadata, 1));
  return path;
}

}  // namespace weir::test
