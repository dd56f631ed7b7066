#include "state/snapshot_metadata.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "state/block_file.hpp"
#include "state/key_groups.hpp"

namespace weir {
namespace {

constexpr std::string_view metadata_magic = "WEIRSNAP";
constexpr std::uint64_t metadata_version = 1;

std::uint64_t summed_size(const std::vector<DataLocation>& locations) {
  std::uint64_t bytes = 0;
  for (const auto& location : locations) bytes += location.size_bytes;
  return bytes;
}

/// A name that stays within its directory, is no temporary file and not `_metadata`.
bool is_single_name(const std::string& name) {
  if (name.empty() || name.size() > 255 || name.front() == '.' || name == "_metadata") return false;
  return std::ranges::none_of(name,
                              [](char c) { return c == '/' || c == '\\' || (c >= 0 && c < 32); });
}

/// Walks through a snapshot's handles and stops at the first that does not fit.
class ConsistencyCheck {
 public:
  explicit ConsistencyCheck(const SnapshotMetadata& metadata) : metadata_(metadata) {}

  Status run() {
    WEIR_TRY(check_locations());
    std::set<std::string_view> uids;
    for (const auto& one : metadata_.operators) {
      place_ = "operator '" + one.uid + "'";
      if (one.uid.empty() || !uids.insert(one.uid).second)
        return damaged("its uid is empty or used twice");
      WEIR_TRY(check_operator(one));
    }
    return check_overlaps();
  }

 private:
  [[nodiscard]] Status damaged(const std::string& reason) const {
    return error(Errc::corruption, place_ + ": " + reason);
  }

  Status check_locations() {
    std::set<std::pair<bool, std::string_view>> files;
    for (std::size_t i = 0; i < metadata_.locations.size(); ++i) {
      place_ = "location " + std::to_string(i);
      const auto& location = metadata_.locations[i];
      if (location.size_bytes > payload_limit_bytes) return damaged("its size is impossible");
      if (location.shared && (location.file.empty() || metadata_.kind != SnapshotKind::checkpoint))
        return damaged("only a file of a checkpoint can be shared");
      if (location.file.empty()) {
        if (location.size_bytes != location.inline_bytes.size())
          return damaged("its inline bytes are not as many as it says");
        continue;
      }
      if (!is_single_name(location.file)) return damaged("its file is not a single name");
      if (!files.emplace(location.shared, location.file).second)
        return damaged("its file is named twice");
      if (location.inline_bytes.size() != 0) return damaged("it has a file and inline bytes");
    }
    return {};
  }

  Status check_operator(const OperatorSnapshot& one) {
    if (one.parallelism == 0 || one.subtasks.size() != one.parallelism)
      return damaged("it has " + std::to_string(one.subtasks.size()) + " subtasks at parallelism " +
                     std::to_string(one.parallelism));
    WEIR_TRY(check_declarations(one));
    for (std::size_t i = 0; i < one.subtasks.size(); ++i) {
      place_ = "operator '" + one.uid + "', subtask " + std::to_string(i);
      if (one.subtasks[i].subtask != i) return damaged("its number is out of order");
      WEIR_TRY(check_subtask(one, one.subtasks[i]));
    }
    return {};
  }

  [[nodiscard]] Status check_declarations(const OperatorSnapshot& one) const {
    std::set<std::string_view> names;
    for (const auto& state : one.states) {
      if (!names.insert(state.name).second)
        return damaged("state '" + state.name + "' comes twice");
      if (is_keyed(state.kind) != state.key.has_value())
        return damaged("state '" + state.name + "' lacks a key or has one too many");
      if (is_keyed(state.kind) &&
          (one.max_parallelism > max_key_groups || one.max_parallelism < one.parallelism))
        return damaged("its maximum parallelism is " + std::to_string(one.max_parallelism));
      WEIR_TRY(check_schema(state.value));
      const bool is_map =
          state.kind == StateKind::map || state.kind == StateKind::operator_broadcast;
      if (is_map && state.value.kind != SchemaKind::map)
        return damaged("state '" + state.name + "' is a map without map key");
      if (state.key) WEIR_TRY(check_schema(*state.key));
    }
    return {};
  }

  Status check_subtask(const OperatorSnapshot& one, const OperatorSubtaskSnapshot& subtask) {
    std::set<std::string_view> seen;
    const auto check_declared = [&](const std::string& name, bool keyed) -> Status {
      const auto found = std::ranges::find(one.states, name, &StateDeclaration::name);
      if (found == one.states.end() || is_keyed(found->kind) != keyed)
        return damaged("state '" + name + "' is not declared as what it is");
      return {};
    };
    // Views names of the metadata: they outlive it.
    const auto check_new = [&](std::string_view name) -> Status {
      if (!seen.insert(name).second)
        return damaged("state '" + std::string(name) + "' comes twice");
      return {};
    };
    std::map<std::string_view, StateFormat> formats;
    std::map<std::string_view, Pieces> pieces;
    std::map<std::string_view, std::vector<std::uint32_t>> files;
    for (const auto& handle : subtask.keyed) {
      WEIR_TRY(check_declared(handle.state, true));
      const auto [known, is_new] = formats.emplace(handle.state, handle.format);
      const bool may_repeat = handle.format != StateFormat::canonical;
      if (!is_new && !(may_repeat && known->second == handle.format))
        return damaged("state '" + handle.state + "' comes twice");
      const bool is_image = handle.format == StateFormat::segments;
      if (!is_image && handle.sequence != 0)
        return damaged("state '" + handle.state + "' has a sequence, but is no image");
      if (is_image && (handle.sequence == 0 || handle.sequence > metadata_.checkpoint.value))
        return damaged("state '" + handle.state + "' was written by checkpoint " +
                       std::to_string(handle.sequence) + ", which is none before this one");
      for (const auto& extent : handle.groups) {
        if (is_image) pieces[handle.state].emplace_back(extent.group, handle.sequence);
        if (handle.format == StateFormat::files) files[handle.state].push_back(extent.group);
      }
      WEIR_TRY(check_groups(
          handle, key_group_range(subtask.subtask, one.parallelism, one.max_parallelism)));
    }
    for (const auto& [state, format] : formats) WEIR_TRY(check_new(state));
    for (auto& [state, of_state] : pieces) {
      std::ranges::sort(of_state);
      if (std::ranges::adjacent_find(of_state) != of_state.end())
        return damaged("state '" + std::string(state) +
                       "' has two images of a key group from one checkpoint");
    }
    for (auto& [state, numbers] : files) {
      const bool list_first = numbers.front() == 0;
      std::ranges::sort(numbers);
      const bool repeated = std::ranges::adjacent_find(numbers) != numbers.end();
      if (!list_first || repeated || numbers.back() + 1 != numbers.size())
        return damaged("state '" + std::string(state) +
                       "' lacks one of its files or their list, or has one twice");
    }
    for (const auto& handle : subtask.operator_states) {
      WEIR_TRY(check_declared(handle.state, false));
      WEIR_TRY(check_new(handle.state));
      WEIR_TRY(check_extent("state '" + handle.state + "'", handle.location, handle.offset,
                            handle.length));
      const auto& elements = handle.elements;
      const bool fits = elements.empty()
                            ? handle.length == 0
                            : elements.front() == 0 && elements.back() <= handle.length;
      if (!fits || !std::ranges::is_sorted(elements))
        return damaged("state '" + handle.state + "' has elements outside its bytes");
    }
    for (const auto& handle : subtask.channels)
      WEIR_TRY(check_extent("the channel from '" + handle.producer_uid + "'", handle.location,
                            handle.offset, handle.length));
    return {};
  }

  Status check_groups(const KeyedStateHandle& handle, KeyGroupRange range) {
    if (handle.location >= metadata_.locations.size())
      return unknown_location("state '" + handle.state + "'", handle.location);
    const bool are_groups = handle.format != StateFormat::files;
    std::uint64_t next = are_groups ? range.first : 0;
    for (const auto& extent : handle.groups) {
      const std::string what = "state '" + handle.state + "', " +
                               std::string(noun_of_extents(handle.format)) + " " +
                               std::to_string(extent.group);
      if (extent.group < next || (are_groups && !range.contains(extent.group)))
        return damaged(what + " is out of order or belongs to another subtask");
      next = std::uint64_t{extent.group} + 1;
      WEIR_TRY(check_extent(what, handle.location, extent.offset, extent.length));
    }
    return {};
  }

  [[nodiscard]] Status unknown_location(const std::string& what, std::uint32_t location) const {
    return damaged(what + " names location " + std::to_string(location) + " of " +
                   std::to_string(metadata_.locations.size()));
  }
  Status check_extent(const std::string& what, std::uint32_t location, std::uint64_t offset,
                      std::uint64_t length) {
    if (location >= metadata_.locations.size()) return unknown_location(what, location);
    const std::uint64_t size = metadata_.locations[location].size_bytes;
    if (offset > size || length > size - offset)
      return damaged(what + " lies beyond the " + std::to_string(size) + " bytes of location " +
                     std::to_string(location));
    if (length > 0) extents_.emplace_back(location, offset, length);
    return {};
  }

  /// Bytes that two handles share would be read many times over on a stranger's word.
  Status check_overlaps() {
    std::ranges::sort(extents_);
    for (std::size_t i = 1; i < extents_.size(); ++i) {
      const auto& [location, offset, length] = extents_[i - 1];
      if (std::get<0>(extents_[i]) != location || std::get<1>(extents_[i]) >= offset + length)
        continue;
      place_ = "location " + std::to_string(location);
      return damaged("two handles overlap at offset " + std::to_string(std::get<1>(extents_[i])));
    }
    return {};
  }

  /// Key group and sequence of the images of one state.
  using Pieces = std::vector<std::pair<std::uint32_t, std::uint64_t>>;

  const SnapshotMetadata& metadata_;
  std::string place_;  ///< for error sentences
  std::vector<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>> extents_;
};

}  // namespace

std::string_view noun_of_extents(StateFormat format) {
  return format == StateFormat::files ? "file" : "key group";
}

std::uint64_t TaskSnapshot::size_bytes() const { return summed_size(locations); }

std::uint64_t TaskSnapshot::written_bytes() const {
  std::uint64_t bytes = locations.empty() ? 0 : locations.front().size_bytes;
  // What older ones wrote inline is written again, into `_metadata`.
  for (std::size_t i = 1; i < locations.size(); ++i)
    if (locations[i].file.empty()) bytes += locations[i].size_bytes;
  return bytes;
}

std::uint64_t SnapshotMetadata::size_bytes() const { return summed_size(locations); }

bool OperatorSnapshot::finished() const {
  return std::ranges::all_of(subtasks, &OperatorSubtaskSnapshot::finished);
}

const OperatorSnapshot* SnapshotMetadata::find(std::string_view uid) const {
  const auto found = std::ranges::find(operators, uid, &OperatorSnapshot::uid);
  return found == operators.end() ? nullptr : &*found;
}

Status check_consistent(const SnapshotMetadata& metadata) {
  return ConsistencyCheck(metadata).run();
}

std::string encode_metadata(const SnapshotMetadata& metadata, std::uint64_t file_id) {
  return encode_document(metadata_magic, metadata_version, file_id, encode_value(metadata));
}

Result<SnapshotMetadata> decode_metadata(std::string_view bytes, const std::string& path) {
  WEIR_TRY_ASSIGN(
      body, decode_document(bytes, path, metadata_magic, metadata_version, "snapshot metadata"));
  WEIR_TRY_ASSIGN(metadata, decode_value<SnapshotMetadata>(body, path + ": the body at offset 40"));
  const Status consistent = check_consistent(metadata);
  if (!consistent)
    return error(Errc::corruption,
                 path + ": the body at offset 40 is damaged: " + consistent.error().what);
  return metadata;
}

}  // namespace weir
