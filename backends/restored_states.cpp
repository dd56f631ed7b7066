#include "backends/restored_states.hpp"

#include <algorithm>
#include <utility>

#include "state/entry_key.hpp"
#include "state/frozen_table.hpp"
#include "state/incompatible_state.hpp"

namespace weir {

namespace {

bool is_image_of(const RestoredEntries::Extent& extent) {
  return extent.format == StateFormat::segments;
}

/// Collects a payload in memory.
class MemorySink final : public SnapshotSink {
 public:
  Status append(std::string_view bytes) override {
    bytes_ += bytes;
    return {};
  }
  std::uint64_t position() const override { return bytes_.size(); }
  std::string bytes() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Entries that were made from the images in the file `name`.
class MemorySource final : public SnapshotSource {
 public:
  MemorySource(std::string bytes, std::string name)
      : bytes_(std::move(bytes)), name_(std::move(name)) {}
  Result<std::string> read(std::uint64_t offset, std::uint64_t length) override {
    WEIR_ASSERT(offset <= bytes_.size() && length <= bytes_.size() - offset);
    return bytes_.substr(offset, length);
  }
  std::string name() const override { return name_; }

 private:
  const std::string bytes_;
  const std::string name_;
};

/// Sorts the files of `handles`, of one state, by the subtask that wrote them: of each, the list comes first.
Result<std::vector<NativePart>> native_parts_of(
    const std::vector<RestoredKeyedState::Part>& handles, const std::string& what) {
  std::vector<NativePart> parts;
  for (const RestoredKeyedState::Part& handle : handles) {
    const auto location = std::make_shared<const DataLocation>(handle.location);
    for (const KeyGroupExtent& file : handle.groups) {
      if (handle.format == StateFormat::files && file.group == 0) parts.emplace_back();
      if (handle.format != StateFormat::files || parts.empty())
        return error(Errc::corruption,
                     handle.source->name() + ": " + what +
                         ": it comes in two forms, or files of it without a list");
      parts.back().push_back({handle.source, file, handle.format, handle.sequence, location});
    }
  }
  for (NativePart& part : parts) {
    std::ranges::sort(part, {}, [](const RestoredExtent& file) { return file.group.group; });
    for (std::size_t i = 0; i < part.size(); ++i)
      if (part[i].group.group != i)
        return error(Errc::corruption, part[0].source->name() + ": " + what + ": file " +
                                           std::to_string(i) + " is missing, or there twice");
  }
  return parts;
}

bool has_many_values(StateKind kind) {
  return kind == StateKind::list || kind == StateKind::reducing || kind == StateKind::aggregating;
}

}  // namespace

std::vector<std::string> RestoredStates::names() const {
  std::vector<std::string> names;
  names.reserve(states_.size());
  for (const RestoredKeyedState& state : states_) names.push_back(state.declaration.name);
  return names;
}

RestoredEntries::RestoredEntries(std::string what, const TableBase& table,
                                 std::vector<Extent> extents, StateDeclaration written,
                                 std::optional<SchemaMigration> migration)
    : what_(std::move(what)),
      table_(&table),
      key_width_(table.key_width()),
      has_many_(has_many_values(table.declaration().kind)),
      extents_(std::move(extents)),
      written_(std::move(written)),
      migration_(std::move(migration)),
      takes_images_(!migration_) {}

RestoredEntries::RestoredEntries(std::string what, const TableBase& table,
                                 std::vector<NativePart> parts,
                                 std::shared_ptr<NativeStates> states,
                                 std::optional<SchemaMigration> migration)
    : what_(std::move(what)),
      table_(&table),
      key_width_(table.key_width()),
      has_many_(has_many_values(table.declaration().kind)),
      migration_(std::move(migration)),
      takes_images_(false),
      native_parts_(std::move(parts)),
      native_states_(std::move(states)) {}

Status RestoredEntries::say_where(const Extent& extent, const Status& failed) const {
  if (failed) return {};
  const std::string group = is_native() ? "" : ", key group " + std::to_string(extent.group.group);
  return error(failed.error().code,
               extent.source->name() + ": " + what_ + group + ": " + failed.error().what);
}

Status RestoredEntries::next_image(const std::function<Status(std::string_view bytes)>& take) {
  const Extent& extent = extents_[next_];
  WEIR_TRY_ASSIGN(bytes, extent.source->read(extent.group.offset, extent.group.length));
  if (bytes.size() != extent.group.length || hash_bytes(bytes) != extent.group.checksum)
    return error(Errc::corruption, extent.source->name() + ": key group " +
                                       std::to_string(extent.group.group) + " at offset " +
                                       std::to_string(extent.group.offset) +
                                       ": the checksum does not match");
  WEIR_TRY(say_where(extent, take(bytes)));
  ++next_;
  return {};
}

void RestoredEntries::give_up_images() {
  // The last image of a chain may have failed, with which `next_` has not gone on.
  while (next_ > 0 && extents_[next_ - 1].group.group == group().group) --next_;
  takes_images_ = false;
}

/// Opens what the next group is read from. The images of a group are laid over each other in a table that
/// is thrown away; what it holds is written as entries, into memory. Their values are those of the writer.
Status RestoredEntries::begin_group() {
  if (!is_image_of(extents_[next_])) {
    source_ = extents_[next_].source;
    reader_ = std::make_unique<ExtentReader>(*source_, group(), key_width_);
    return {};
  }
  const std::uint32_t number = group().group;
  const std::unique_ptr<TableBase> table = table_->make_encoded(written_, number);
  std::string name;
  // The last one stays to be counted when its entries have been handed out.
  for (bool last = false; !last;) {
    last = next_ + 1 == extents_.size() || extents_[next_ + 1].group.group != number;
    name = extents_[next_].source->name();
    WEIR_TRY(next_image([&](std::string_view bytes) { return table->load_images(number, bytes); }));
    if (last) --next_;
  }
  MemorySink sink;
  WEIR_TRY_ASSIGN(extent, table->freeze()->write_group(number, sink));
  source_ = std::make_shared<MemorySource>(std::move(sink).bytes(), std::move(name));
  reader_ = std::make_unique<ExtentReader>(*source_, extent, key_width_);
  return {};
}

Status RestoredEntries::next_of_files(
    const std::function<Status(std::span<const EntryView>)>& take) {
  const NativePart& part = native_parts_[next_part_];
  if (!native_entries_) native_entries_ = native_states_->open(part, table_->groups());
  WEIR_TRY_ASSIGN(read, native_entries_->next());
  WEIR_TRY(say_where(part.front(), pass_on(read, true, take)));
  if (native_entries_->done()) {
    native_entries_.reset();
    ++next_part_;
  }
  return {};
}

Status RestoredEntries::pass_on(std::span<const EntryView> entries, bool may_have_expired,
                                const std::function<Status(std::span<const EntryView>)>& take) {
  if (migration_) {
    WEIR_TRY_ASSIGN(converted, migrated(entries));
    entries = converted;
  }
  if (may_have_expired) {
    WEIR_TRY_ASSIGN(kept, live(entries));
    entries = kept;
  }
  return take(entries);
}

Result<std::span<const EntryView>> RestoredEntries::live(std::span<const EntryView> entries) {
  const LiveFilter filter = table_->snapshot_filter();
  live_bytes_.clear();
  live_.clear();
  for (EntryView entry : entries) {
    EntryKey key;
    if (!read_entry_key(entry.key, key_width_, key) || !table_->groups().contains(key.group))
      return error(Errc::corruption, "an entry's key is malformed");
    if (!filter.keeps_all() && !filter.keep(entry.value, live_bytes_.emplace_back())) continue;
    live_.push_back(entry);
  }
  return live_;
}

Status RestoredEntries::next(const std::function<Status(std::span<const EntryView>)>& take) {
  if (is_native()) return next_of_files(take);
  if (!reader_) WEIR_TRY(begin_group());
  WEIR_TRY_ASSIGN(read, reader_->next());
  const Extent& extent = extents_[next_];
  WEIR_TRY(say_where(extent, pass_on(read, is_image_of(extent), take)));
  if (reader_->done()) {
    reader_.reset();
    source_.reset();
    ++next_;
  }
  return {};
}

Result<std::span<const EntryView>> RestoredEntries::migrated(std::span<const EntryView> entries) {
  migrated_bytes_.clear();
  migrated_.clear();
  std::vector<std::size_t> ends;
  for (const EntryView& entry : entries) {
    ByteReader value(entry.value);
    if (!has_many_ || value.remaining() > 0) do {
        const std::size_t before = value.remaining();
        migration_->migrate(value, migrated_bytes_);
        // Values without width, which nobody writes, would never end.
        if (has_many_ && value.remaining() == before)
          return error(Errc::corruption, "a value does not decode: it is damaged");
      } while (has_many_ && value.remaining() > 0);
    if (!value.complete()) return error(Errc::corruption, "a value does not decode: it is damaged");
    ends.push_back(migrated_bytes_.size());
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < ends.size(); begin = ends[i++])
    migrated_.push_back(
        {entries[i].key, std::string_view(migrated_bytes_).substr(begin, ends[i] - begin)});
  return migrated_;
}

Result<RestoredEntries> RestoredStates::claim(const TableBase& table) {
  const StateDeclaration& declaration = table.declaration();
  const std::string what = operator_label_ + ", state '" + declaration.name + "'";
  std::vector<RestoredEntries::Extent> extents;
  const auto found = std::ranges::find_if(states_, [&](const RestoredKeyedState& state) {
    return state.declaration.name == declaration.name;
  });
  if (found == states_.end()) return RestoredEntries(what, table, {}, declaration);
  WEIR_TRY_ASSIGN(migration, check(found->declaration, table));
  std::optional<SchemaMigration> conversion;
  if (!migration.changes_nothing()) conversion = std::move(migration);
  const auto is_native = [](const auto& part) { return part.format == StateFormat::files; };
  if (std::ranges::any_of(found->parts, is_native)) {
    WEIR_TRY_ASSIGN(parts, native_parts_of(found->parts, what));
    std::shared_ptr<NativeStates> reader;
    if (!parts.empty()) {
      WEIR_TRY_ASSIGN(opened, native_states());
      reader = std::move(opened);
    }
    states_.erase(found);
    return RestoredEntries(what, table, std::move(parts), std::move(reader), std::move(conversion));
  }

  for (const RestoredKeyedState::Part& part : found->parts) {
    const auto location = std::make_shared<const DataLocation>(part.location);
    for (const KeyGroupExtent& group : part.groups)
      if (table.groups().contains(group.group))
        extents.push_back({part.source, group, part.format, part.sequence, location});
  }
  const auto place = [](const RestoredEntries::Extent& extent) {
    return std::pair(extent.group.group, extent.sequence);
  };
  std::ranges::sort(extents, {}, place);
  // A group lies in one extent, or in images of different checkpoints.
  const auto twice = std::ranges::adjacent_find(extents, [&](const auto& a, const auto& b) {
    return a.group.group == b.group.group &&
           (!is_image_of(a) || !is_image_of(b) || a.sequence == b.sequence);
  });
  if (twice != extents.end())
    return error(Errc::corruption, twice->source->name() + ": key group " +
                                       std::to_string(twice->group.group) + " of state '" +
                                       declaration.name + "' is there twice");
  StateDeclaration written = std::move(found->declaration);
  states_.erase(found);
  return RestoredEntries(what, table, std::move(extents), std::move(written),
                         std::move(conversion));
}

Result<std::shared_ptr<NativeStates>> RestoredStates::native_states() {
  std::shared_ptr<NativeStates> states = native_states_.lock();
  if (states == nullptr) {
    if (!native_)
      return error(
          Errc::unsupported,
          operator_label_ +
              ": the snapshot holds the files of a RocksDB database, which this state "
              "backend cannot read; restore a canonical savepoint, or use the rocksdb backend");
    WEIR_TRY_ASSIGN(made, native_(*files_, local_directory_));
    states = std::move(made);
    native_states_ = states;
  }
  return states;
}

Result<SchemaMigration> RestoredStates::check(const StateDeclaration& restored,
                                              const TableBase& table) const {
  const StateDeclaration& declared = table.declaration();
  const auto differs = [&](const std::string& reason,
                           const char* remedy = incompatible_state_remedy) {
    return error(Errc::state_incompatible,
                 operator_label_ + ", state '" + declared.name + "': " + reason + remedy);
  };
  if (restored.kind != declared.kind)
    return differs("the snapshot holds " + std::string(enumerator_name(restored.kind)) +
                   " state, the job declares " + std::string(enumerator_name(declared.kind)) +
                   " state");
  if (restored.key.has_value() != declared.key.has_value())
    return differs("it is keyed in either the snapshot or the job, but not in both");
  if (restored.key)
    if (const auto same = check_compatible(*restored.key, *declared.key); !same)
      return differs("the key has another type in the snapshot: " + same.error().what,
                     incompatible_key_remedy);
  if (const bool had = has_time_to_live(restored); had != has_time_to_live(declared))
    return differs(std::string("it has ") + (had ? "a" : "no") +
                   " time to live in the snapshot and " + (had ? "none" : "one") + " in the job");
  auto migration = SchemaMigration::between(restored.value, declared.value, table.defaults());
  if (!migration)
    return differs("the value has another type in the snapshot: " + migration.error().what);
  if (restored.kind != StateKind::map) return migration;
  // An entry holds the value alone; the map key is part of the entry key.
  return SchemaMigration::between(restored.value.children[1], declared.value.children[1],
                                  table.defaults());
}

}  // namespace weir
