#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "state/extents.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/schema_evolution.hpp"
#include "state/table.hpp"

namespace weir {

/// The entries of one restored state, handed out piece by piece, ascending by key group. A group lies in
/// one canonical extent, or in a chain of segment images that are laid one over the other. Whoever keeps
/// the state in such segments takes the images as they are; everybody else takes entries, whatever the
/// snapshot holds.
/// Threads: the task's.
class RestoredEntries {
 public:
  /// One extent of a key group, and who can read it.
  struct Extent {
    std::shared_ptr<SnapshotSource> source;
    KeyGroupExtent group;
    StateFormat format = StateFormat::canonical;
    std::uint64_t sequence = 0;
    std::shared_ptr<const DataLocation> location;  ///< what `source` reads
  };
  /// `what` names operator and state for error sentences; `table` is what the state is declared as.
  /// `extents` ascend by group, then sequence. `migration` turns the values into those of the table; none:
  /// they are.
  RestoredEntries(std::string what, const TableBase& table, std::vector<Extent> extents,
                  std::optional<SchemaMigration> migration = std::nullopt);

  /// Whether everything was handed out, and found to be what was written.
  [[nodiscard]] bool done() const { return next_ == extents_.size(); }
  /// The key group that `next` goes on with. Requires `!done()`.
  [[nodiscard]] const KeyGroupExtent& group() const { return extents_[next_].group; }
  /// Whether nothing of `group()` has been handed out yet.
  [[nodiscard]] bool at_group_begin() const { return !reader_; }
  /// Whether what comes next is a segment image. Requires `!done()`.
  [[nodiscard]] bool is_image() const { return extents_[next_].format == StateFormat::segments; }
  /// Everything that is, or was, to be handed out.
  [[nodiscard]] const std::vector<Extent>& extents() const { return extents_; }

  /// Passes the next piece, entries of `group()`, to `take`. Images are turned into entries, a group at a
  /// time, without what has expired by now. Requires `!done()`. Errors: as `ExtentReader::next`, and those of `take` with operator, state
  /// and source put before.
  [[nodiscard]] Status next(const std::function<Status(std::span<const EntryView>)>& take);
  /// Passes the next image, which belongs to `group()` and matches its checksum, to `take`. Requires
  /// `is_image()` and that nothing of the group went through `next`. Errors: as `next`.
  [[nodiscard]] Status next_image(const std::function<Status(std::string_view bytes)>& take);

 private:
  [[nodiscard]] Status begin_group();
  /// `entries` with the values of the table. Errors: `corruption`.
  [[nodiscard]] Result<std::span<const EntryView>> migrated(std::span<const EntryView> entries);
  [[nodiscard]] Status say_where(const Extent& extent, const Status& failed) const;

  std::string what_;
  std::size_t key_width_;
  bool has_many_;  // an entry holds any number of values, not exactly one
  std::vector<Extent> extents_;
  std::optional<SchemaMigration> migration_;
  std::string migrated_bytes_;  // of the last call of `next`
  std::vector<EntryView> migrated_;
  std::size_t next_ = 0;
  std::unique_ptr<TableBase>
      form_;  // makes the tables that images are laid into; null without images
  std::shared_ptr<SnapshotSource> source_;  // of the group that is being handed out
  std::unique_ptr<ExtentReader> reader_;    // of `source_`, once it is begun
};

/// The restored states of one operator that wait for the job to declare them.
/// Threads: the task's.
class RestoredStates {
 public:
  /// `operator_label` is what error sentences begin with.
  explicit RestoredStates(std::string operator_label)
      : operator_label_(std::move(operator_label)) {}

  void set(std::vector<RestoredKeyedState> states) { states_ = std::move(states); }
  /// Names of the states that nobody has claimed.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Takes the state that `table` declares: its entries within the table's groups; none if it was not
  /// restored.
  /// Errors: `state_incompatible` if kind, key or having a time to live differ, or the value in a way that
  /// no migration mends, naming operator, state and the first field that does; `corruption` if a key group comes twice.
  [[nodiscard]] Result<RestoredEntries> claim(const TableBase& table);

 private:
  /// Compares the restored state with the declared one. Returns how its values become those of `table`.
  [[nodiscard]] Result<SchemaMigration> check(const StateDeclaration& restored,
                                              const TableBase& table) const;

  std::string operator_label_;
  std::vector<RestoredKeyedState> states_;
};

}  // namespace weir
