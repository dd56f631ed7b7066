#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "state/table.hpp"

namespace weir {

class ExtentWriter;

/// The contents of a table as they were at `TableBase::freeze`. Nothing that it sees changes any more, but for groups that
/// are finished.
/// Its destruction lets the table reuse the memory that only it still saw.
/// Threads: one at a time, any; also when the table is already gone.
class FrozenTable {
 public:
  ~FrozenTable();
  FrozenTable(const FrozenTable&) = delete;
  FrozenTable& operator=(const FrozenTable&) = delete;

  [[nodiscard]] const StateDeclaration& declaration() const { return *declaration_; }
  [[nodiscard]] KeyGroupRange groups() const { return range_; }
  /// Entries of `group`, which is one of `groups()`; those that had expired are among them.
  [[nodiscard]] std::uint64_t entries(std::uint32_t group) const;
  /// Sorts and encodes the entries of `group` that had not expired and appends them to `sink`. Errors:
  /// those of `sink`.
  [[nodiscard]] Result<KeyGroupExtent> write_group(std::uint32_t group, SnapshotSink& sink) const;
  /// Writes all groups, ascending, and finishes each (`finish_group`). Once. Errors: those of `sink`.
  [[nodiscard]] Result<KeyedStateHandle> write(SnapshotSink& sink);
  /// Nothing of `group` and of those before it will be read any more: their segments need not be copied before they
  /// change.
  void finish_group(std::uint32_t group);

  /// Passes what was changed in `group` and is in no snapshot that was confirmed before this one was made
  /// to `visit`, ascending by entry key. Of a cache. Errors: those of `visit`.
  [[nodiscard]] Status for_each_changed(std::uint32_t group, const ChangeVisitor& visit) const;

  /// Which snapshot of its table this is, for `write_images` of a later one.
  [[nodiscard]] std::uint32_t epoch() const { return epoch_; }
  /// Whether `group` was laid out anew after the snapshot `base`, so that its images are whole.
  [[nodiscard]] bool is_new_since(std::uint32_t group, std::uint32_t base) const;
  /// Writes the segments of `group` as they lie in memory (docs/formats/snapshot.md, "segment images"):
  /// what was written since the snapshot of epoch `base`, which was confirmed before this one was made,
  /// or everything if `base` is 0. What has expired is in it: a slot that were left out would end the
  /// search for entries behind it. `entries` of the extent counts what is in it. Errors: those of `sink`.
  [[nodiscard]] Result<KeyGroupExtent> write_images(std::uint32_t group, std::uint32_t base,
                                                    SnapshotSink& sink) const;

 private:
  friend class TableBase;
  struct
      Sorting;  // memory that goes from group to group; the system would have to zero fresh one for each
  FrozenTable(std::shared_ptr<const table::Storage> storage,
              std::shared_ptr<const StateDeclaration> declaration, KeyGroupRange range,
              std::uint32_t epoch, LiveFilter filter,
              std::span<const std::shared_ptr<table::Removals>> removals,
              std::shared_ptr<table::SnapshotProgress> progress);
  [[nodiscard]] Status write_compact(const table::Group& group, ExtentWriter& writer,
                                     std::uint32_t number) const;
  [[nodiscard]] Status write_wide(const table::Group& group, ExtentWriter& writer,
                                  std::uint32_t number) const;

  std::shared_ptr<const table::Storage> storage_;  // memory, not contents: those are in `groups_`
  std::shared_ptr<const StateDeclaration> declaration_;
  KeyGroupRange range_;
  std::uint32_t epoch_;
  LiveFilter filter_;  // what had expired
  std::uint32_t confirmed_epoch_;
  std::vector<std::shared_ptr<const table::Removals>> removals_;
  std::shared_ptr<table::SnapshotProgress> progress_;  // tells the owner
  std::vector<table::Group> groups_;
  mutable std::unique_ptr<Sorting> sorting_;  // once it is needed
};

}  // namespace weir
