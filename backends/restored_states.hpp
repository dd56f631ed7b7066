#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backends/native_states.hpp"
#include "state/extents.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/schema_evolution.hpp"
#include "state/table.hpp"

namespace weir {

/// The entries of one restored state, handed out piece by piece, ascending by key group. A group lies in
/// one canonical extent, or in a chain of segment images that are laid one over the other; or all groups of
/// a subtask lie in the files of a database. Whoever keeps the state in such segments or files takes them as
/// they are if the type is the same; everybody else takes entries, whatever the snapshot holds.
/// Threads: the task's.
class RestoredEntries {
 public:
  using Extent = RestoredExtent;
  /// `what` names operator and state for error sentences; `table`, which outlives this, is what the state is
  /// declared as. `extents` ascend by group, then sequence. `written` is what the state was declared as when
  /// they were written. `migration` turns the values into those of the table; none: they are.
  RestoredEntries(std::string what, const TableBase& table, std::vector<Extent> extents,
                  StateDeclaration written,
                  std::optional<SchemaMigration> migration = std::nullopt);
  /// The same of files, which `states` reads.
  RestoredEntries(std::string what, const TableBase& table, std::vector<NativePart> parts,
                  std::shared_ptr<NativeStates> states, std::optional<SchemaMigration> migration);

  /// Whether everything was handed out, and found to be what was written.
  [[nodiscard]] bool done() const {
    return next_ == extents_.size() && next_part_ == native_parts_.size();
  }
  /// Whether the state lies in files of a database.
  [[nodiscard]] bool is_native() const { return !native_parts_.empty(); }
  /// These files, by the subtask that wrote them.
  [[nodiscard]] const std::vector<NativePart>& native_parts() const { return native_parts_; }
  /// Whether values are not what they were when they were written.
  [[nodiscard]] bool changes_type() const { return migration_.has_value(); }
  /// The key group that `next` goes on with. Requires `!done()` and `!is_native()`.
  [[nodiscard]] const KeyGroupExtent& group() const { return extents_[next_].group; }
  /// Whether nothing of `group()` has been handed out yet.
  [[nodiscard]] bool at_group_begin() const { return !reader_; }
  /// Whether what comes next is a segment image of values as the table has them. Requires `!done()`.
  [[nodiscard]] bool is_image() const {
    return takes_images_ && !is_native() && extents_[next_].format == StateFormat::segments;
  }
  /// Everything that is, or was, to be handed out, but for files.
  [[nodiscard]] const std::vector<Extent>& extents() const { return extents_; }

  /// Passes the next piece to `take`: entries of `group()`, or of any group if they come from files; then it
  /// may be none. Images and files are turned into entries, a group or a bounded piece at a time, without what has
  /// expired by now. Requires `!done()`. Errors: as `ExtentReader::next` or `NativeEntries::next`, and those of
  /// `take` with operator, state and source put before.
  [[nodiscard]] Status next(const std::function<Status(std::span<const EntryView>)>& take);
  /// Goes back to the first image of `group()`; from there on everything comes as entries.
  void give_up_images();
  /// Passes the next image, which belongs to `group()` and matches its checksum, to `take`. Requires
  /// `is_image()` and that nothing of the group went through `next`. Errors: as `next`.
  [[nodiscard]] Status next_image(const std::function<Status(std::string_view bytes)>& take);

 private:
  [[nodiscard]] Status begin_group();
  [[nodiscard]] Status next_of_files(const std::function<Status(std::span<const EntryView>)>& take);
  /// Passes `entries`, as they were written, to `take`, as the table is to have them.
  [[nodiscard]] Status pass_on(std::span<const EntryView> entries, bool may_have_expired,
                               const std::function<Status(std::span<const EntryView>)>& take);
  /// `entries` without what has expired. Errors: `corruption`, of a key.
  [[nodiscard]] Result<std::span<const EntryView>> live(std::span<const EntryView> entries);
  /// `entries` with the values of the table. Errors: `corruption`.
  [[nodiscard]] Result<std::span<const EntryView>> migrated(std::span<const EntryView> entries);
  [[nodiscard]] Status say_where(const Extent& extent, const Status& failed) const;

  std::string what_;
  const TableBase* table_;
  std::size_t key_width_;
  bool has_many_;  // an entry holds any number of values, not exactly one
  std::vector<Extent> extents_;
  StateDeclaration written_;
  std::optional<SchemaMigration> migration_;
  bool takes_images_;
  std::string migrated_bytes_;  // of the last call of `next`
  std::vector<EntryView> migrated_;
  std::size_t next_ = 0;
  std::shared_ptr<SnapshotSource> source_;  // of the group that is being handed out
  std::unique_ptr<ExtentReader> reader_;    // of `source_`, once it is begun
  std::vector<NativePart> native_parts_;
  std::shared_ptr<NativeStates> native_states_;  // null without parts
  std::size_t next_part_ = 0;
  std::unique_ptr<NativeEntries> native_entries_;  // of the next part, once it is begun
  std::deque<std::string> live_bytes_;             // of the last call of `next`
  std::vector<EntryView> live_;
};

/// The restored states of one operator that wait for the job to declare them.
/// Threads: the task's.
class RestoredStates {
 public:
  /// `native` reads files of a database; null if nobody here can.
  RestoredStates(const KeyedStateBackendContext& context, NativeStatesFactory native)
      : operator_label_(context.operator_label),
        local_directory_(context.local_directory),
        files_(context.files),
        native_(std::move(native)) {}

  void set(std::vector<RestoredKeyedState> states) { states_ = std::move(states); }
  /// Names of the states that nobody has claimed.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Takes the state that `table` declares: its entries within the table's groups; none if it was not
  /// restored.
  /// Errors: `state_incompatible` if kind, key or having a time to live differ, or the value in a way that
  /// no migration mends, naming operator, state and the first field that does; `corruption` if a key group comes
  /// twice, or a file is missing; `unsupported` if the state lies in files that nobody here can read.
  [[nodiscard]] Result<RestoredEntries> claim(const TableBase& table);

 private:
  /// Compares the restored state with the declared one. Returns how its values become those of `table`.
  [[nodiscard]] Result<SchemaMigration> check(const StateDeclaration& restored,
                                              const TableBase& table) const;
  [[nodiscard]] Result<std::shared_ptr<NativeStates>> native_states();

  const std::string operator_label_;
  const std::string local_directory_;
  FileSystem* const files_;
  const NativeStatesFactory native_;
  std::weak_ptr<NativeStates> native_states_;  // lives as long as a state that reads through it
  std::vector<RestoredKeyedState> states_;
};

}  // namespace weir
