#include "state/snapshot_io.hpp"

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>
#include <vector>

#include <xxhash.h>

namespace weir {
namespace {

/// `_metadata` holds inline state as well; a larger one is not ours.
constexpr std::uint64_t metadata_limit_bytes = std::uint64_t{4} << 30;
/// Inline bytes are written with a 32-bit length.
constexpr std::uint64_t inline_limit_bytes = std::numeric_limits<std::uint32_t>::max();
/// How much of a payload is verified at once.
constexpr std::uint64_t verify_step_bytes = std::uint64_t{1} << 20;

std::string in_directory(const std::string& directory, std::string_view name) {
  return directory + "/" + std::string(name);
}

std::string readable_size(std::uint64_t bytes) {
  constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
  if (bytes >= mebibyte && bytes % mebibyte == 0) return std::to_string(bytes / mebibyte) + " MiB";
  return std::to_string(bytes) + " bytes";
}

/// The payload of a location that lies in a file of its own.
class FileSource final : public SnapshotSource {
 public:
  explicit FileSource(std::unique_ptr<BlockReader> blocks) : blocks_(std::move(blocks)) {}
  Result<std::string> read(std::uint64_t offset, std::uint64_t length) override {
    return blocks_->read(offset, length);
  }
  std::string name() const override { return blocks_->path(); }

 private:
  const std::unique_ptr<BlockReader> blocks_;
};

/// The payload of an inline location.
class InlineSource final : public SnapshotSource {
 public:
  InlineSource(SharedBytes bytes, std::string name)
      : bytes_(std::move(bytes)), name_(std::move(name)) {}
  Result<std::string> read(std::uint64_t offset, std::uint64_t length) override {
    const auto bytes = bytes_.view();
    if (offset > bytes.size() || length > bytes.size() - offset)
      return error(Errc::corruption, name_ + ": " + std::to_string(length) + " bytes at offset " +
                                         std::to_string(offset) + " lie beyond its inline state");
    return std::string(bytes.substr(offset, length));
  }
  std::string name() const override { return name_; }

 private:
  const SharedBytes bytes_;
  const std::string name_;
};

/// Bytes of a location that one handle vouches for.
struct CheckedExtent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t checksum = 0;
  std::string what;
};

/// The extents of every location, ascending by offset.
std::vector<std::vector<CheckedExtent>> extents_by_location(const SnapshotMetadata& metadata) {
  std::vector<std::vector<CheckedExtent>> result(metadata.locations.size());
  for (const auto& one : metadata.operators) {
    for (const auto& subtask : one.subtasks) {
      for (const auto& handle : subtask.keyed)
        for (const auto& group : handle.groups)
          result[handle.location].push_back({group.offset, group.length, group.checksum,
                                             "state '" + handle.state + "' of operator '" +
                                                 one.uid + "', " +
                                                 std::string(noun_of_extents(handle.format)) + " " +
                                                 std::to_string(group.group)});
      for (const auto& handle : subtask.operator_states)
        result[handle.location].push_back(
            {handle.offset, handle.length, handle.checksum,
             "state '" + handle.state + "' of operator '" + one.uid + "'"});
      for (const auto& handle : subtask.channels)
        result[handle.location].push_back({handle.offset, handle.length, handle.checksum,
                                           "channel state of operator '" + one.uid + "'"});
    }
  }
  for (auto& extents : result) std::ranges::sort(extents, {}, &CheckedExtent::offset);
  return result;
}

/// Reads payload bytes `begin` up to, not including, `end` in steps and returns their XXH3-64.
Result<std::uint64_t> hash_range(SnapshotSource& source, std::uint64_t begin, std::uint64_t end) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  while (begin < end) {
    const std::uint64_t step = std::min(verify_step_bytes, end - begin);
    WEIR_TRY_ASSIGN(bytes, source.read(begin, step));
    XXH3_64bits_update(&state, bytes.data(), bytes.size());
    begin += step;
  }
  return XXH3_64bits_digest(&state);
}

/// Goes through a payload once, from its beginning to its end: what handles name is compared with their
/// checksums, what lies between is read so that its blocks are verified.
Status verify_payload(SnapshotSource& source, const std::vector<CheckedExtent>& extents,
                      std::uint64_t size_bytes) {
  std::uint64_t position = 0;
  for (const auto& extent : extents) {
    WEIR_TRY(hash_range(source, position, std::max(position, extent.offset)));
    WEIR_TRY_ASSIGN(checksum, hash_range(source, extent.offset, extent.offset + extent.length));
    if (checksum != extent.checksum)
      return error(Errc::corruption, source.name() + ": " + extent.what + " at payload offset " +
                                         std::to_string(extent.offset) +
                                         " is damaged: its checksum does not match");
    position = std::max(position, extent.offset + extent.length);
  }
  WEIR_TRY(hash_range(source, position, size_bytes));
  return {};
}

Status remove_if_empty(CheckpointStorage& storage, const std::string& directory) {
  const auto entries = storage.list(directory);
  if (!entries)
    return entries.error().code == Errc::not_found ? Status() : std::unexpected(entries.error());
  return entries->empty() ? storage.remove(directory) : Status();
}

}  // namespace

std::string shared_directory(const std::string& directory) {
  return directory.substr(0, directory.rfind('/')) + "/shared";
}

std::string data_file_name(LeaderEpoch epoch, CheckpointId checkpoint, const ExecutionId& execution,
                           Random& random) {
  char text[17] = {};
  std::to_chars(text, text + 16, random.next(), 16);
  return "data-e" + std::to_string(epoch.value) + "-c" + std::to_string(checkpoint.value) + "-v" +
         std::to_string(execution.vertex) + "-s" + std::to_string(execution.subtask) + "-a" +
         std::to_string(execution.attempt) + "-" + text;
}

std::optional<std::pair<LeaderEpoch, CheckpointId>> numbers_in_data_file(std::string_view name) {
  constexpr std::string_view prefix = "data-e";
  LeaderEpoch epoch;
  CheckpointId checkpoint;
  if (name.starts_with('.')) name.remove_prefix(1);
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  if (!take_number(name, epoch.value) || !name.starts_with("-c")) return std::nullopt;
  name.remove_prefix(2);
  if (!take_number(name, checkpoint.value)) return std::nullopt;
  return std::pair(epoch, checkpoint);
}

bool take_number(std::string_view& text, std::uint64_t& value) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || (text.front() == '0' && end != text.data() + 1)) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

TaskSnapshotWriter::TaskSnapshotWriter(CheckpointStorage* storage, std::string directory,
                                       std::string file_name, SnapshotPlacement placement,
                                       Random& random)
    : storage_(storage),
      directory_(placement.shared ? shared_directory(directory) : std::move(directory)),
      file_name_(std::move(file_name)),
      placement_(placement),
      file_id_(random.next()) {
  WEIR_ASSERT(storage_ != nullptr || !placement_.files);
}

void TaskSnapshotWriter::begin_state(std::string_view name) {
  state_ = name;
  state_begin_ = position_;
}

Status TaskSnapshotWriter::check_limits(std::uint64_t added_bytes) const {
  const std::uint64_t position = position_ + added_bytes;
  if (position - state_begin_ > placement_.max_state_bytes)
    return error(Errc::limit_exceeded,
                 "state '" + state_ + "' of one subtask exceeds the limit of " +
                     readable_size(placement_.max_state_bytes) +
                     " per state and subtask of this state backend; use state.backend: filesystem "
                     "or rocksdb");
  const std::uint64_t payload_limit =
      placement_.files ? placement_.max_payload_bytes
                       : std::min(placement_.max_payload_bytes, inline_limit_bytes);
  if (position > payload_limit)
    return error(Errc::limit_exceeded,
                 "state '" + state_ + "' takes the snapshot of one subtask over the limit of " +
                     readable_size(payload_limit) +
                     " per acknowledgement of this state backend; use state.backend: filesystem or "
                     "rocksdb");
  return {};
}

Status TaskSnapshotWriter::append(std::string_view bytes) {
  if (failure_) failure_ = append_checked(bytes);
  return failure_;
}

Status TaskSnapshotWriter::append_checked(std::string_view bytes) {
  if (cancelled()) return error(Errc::cancelled, "the checkpoint has been given up");
  WEIR_TRY(check_limits(bytes.size()));
  position_ += bytes.size();
  if (!blocks_ && placement_.files && position_ > placement_.inline_threshold_bytes)
    WEIR_TRY(spill());
  if (blocks_) return blocks_->append(bytes);
  inline_bytes_ += bytes;
  return {};
}

Status TaskSnapshotWriter::spill() {
  spilled_ = true;
  const std::string path = in_directory(directory_, file_name_);
  auto output = storage_->create(path);
  // Mostly the directory is there; making sure of that costs a sync.
  if (!output && output.error().code == Errc::not_found) {
    WEIR_TRY(storage_->create_directories(directory_));
    output = storage_->create(path);
  }
  if (!output) return std::unexpected(output.error());
  output_ = std::move(*output);
  blocks_.emplace(*output_, file_id_);
  return blocks_->append(std::exchange(inline_bytes_, {}));
}

Result<DataLocation> TaskSnapshotWriter::finish() {
  WEIR_TRY(failure_);
  if (cancelled()) return error(Errc::cancelled, "the checkpoint has been given up");
  DataLocation location;
  location.file_id = file_id_;  // also inline: payloads with the same bytes are two
  location.size_bytes = position_;
  if (!blocks_) {
    location.inline_bytes = SharedBytes(std::exchange(inline_bytes_, {}));
    return location;
  }
  WEIR_TRY(blocks_->finish());
  WEIR_TRY(output_->publish());
  location.file = file_name_;
  location.shared = placement_.shared;
  return location;
}

void TaskSnapshotWriter::discard() {
  if (output_) output_->discard();
  // Whoever gave the snapshot up may have been here before, when this file was in the way, or before `spill`
  // made the directory anew. One that is not empty stays.
  if (spilled_ && !placement_.shared) (void)storage_->remove(directory_);
  inline_bytes_.clear();
}

Result<std::shared_ptr<SnapshotSource>> make_source(CheckpointStorage& storage,
                                                    const std::string& directory,
                                                    const DataLocation& location) {
  if (location.file.empty())
    return std::make_shared<InlineSource>(location.inline_bytes,
                                          in_directory(directory, metadata_file_name));
  const std::string path =
      in_directory(location.shared ? shared_directory(directory) : directory, location.file);
  WEIR_TRY_ASSIGN(file, storage.open(path));
  WEIR_TRY_ASSIGN(blocks,
                  BlockReader::open(std::move(file), path, location.file_id, location.size_bytes));
  return std::make_shared<FileSource>(std::move(blocks));
}

Status write_metadata(CheckpointStorage& storage, const std::string& directory,
                      const SnapshotMetadata& metadata, Random& random) {
  const std::string path = in_directory(directory, metadata_file_name);
  const Status consistent = check_consistent(metadata);
  if (!consistent)
    return error(consistent.error().code,
                 path + ": not written, it would be damaged: " + consistent.error().what);
  const std::string bytes = encode_metadata(metadata, random.next());
  const Status published = publish_file(storage, path, bytes);
  if (published || published.error().code != Errc::not_found) return published;
  WEIR_TRY(storage.create_directories(directory));
  return publish_file(storage, path, bytes);
}

Result<SnapshotMetadata> read_metadata(CheckpointStorage& storage, const std::string& directory) {
  const std::string path = in_directory(directory, metadata_file_name);
  const auto bytes = read_stored_file(storage, path, metadata_limit_bytes);
  if (!bytes) {
    if (bytes.error().code == Errc::not_found)
      return error(Errc::not_found, directory +
                                        ": holds no complete checkpoint or savepoint: it has no " +
                                        std::string(metadata_file_name));
    if (bytes.error().code == Errc::limit_exceeded)
      return error(Errc::corruption, bytes.error().what);
    return std::unexpected(bytes.error());
  }
  return decode_metadata(*bytes, path);
}

Result<SnapshotMetadata> verify_snapshot(CheckpointStorage& storage, const std::string& directory) {
  WEIR_TRY_ASSIGN(metadata, read_metadata(storage, directory));
  const auto extents = extents_by_location(metadata);
  for (std::size_t i = 0; i < metadata.locations.size(); ++i) {
    const auto& location = metadata.locations[i];
    WEIR_TRY_ASSIGN(source, make_source(storage, directory, location));
    WEIR_TRY(verify_payload(*source, extents[i], location.size_bytes));
  }
  return metadata;
}

Status delete_locations(CheckpointStorage& storage, const std::string& directory,
                        std::span<const DataLocation> locations) {
  Status result;
  for (const auto& location : locations) {
    if (location.file.empty() || location.shared) continue;
    const Status removed = storage.remove(in_directory(directory, location.file));
    if (!removed && result) result = removed;  // go on: what can be removed is
  }
  const Status emptied = remove_if_empty(storage, directory);
  return result ? emptied : result;
}

Status delete_snapshot(CheckpointStorage& storage, const std::string& directory,
                       const SnapshotMetadata& metadata) {
  WEIR_TRY(storage.remove(in_directory(directory, metadata_file_name)));
  return delete_locations(storage, directory, metadata.locations);
}

Status delete_snapshot(CheckpointStorage& storage, const std::string& directory) {
  WEIR_TRY_ASSIGN(metadata, read_metadata(storage, directory));
  return delete_snapshot(storage, directory, metadata);
}

}  // namespace weir
