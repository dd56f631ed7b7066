#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "state/clock.hpp"

namespace weir {

/// Files and directories as the processes of a host see them, and what of it the disk has for certain.
///
///   content of a file      is certain up to the last `sync_file`; what was appended since may be lost
///   names in a directory   are certain as of the last `sync_directory`; every change since may be lost
///
/// `after_crash` draws one of the states in which a host may come up again. A file's bytes that are
/// not certain are gone, cut anywhere, whole, or of full length with sectors of zeros. Of the changes of
/// names any subset survives, in their order; a rename within a directory survives whole or not at all,
/// one between directories in halves as well. Files only grow, so "old contents" are those of the last
/// sync.
///
/// A value: a copy is independent. Nothing here depends on the order of a hash table or on time.
/// Threads: one at a time.
class DiskImage {
 public:
  /// A file or directory, whatever its names; never used twice.
  using Node = std::uint64_t;
  using Names = std::map<std::string, Node>;

  /// An empty root directory.
  DiskImage();

  // ---- what processes see. Paths are absolute.

  [[nodiscard]] std::optional<Node> find(std::string_view path) const;
  [[nodiscard]] bool is_directory(Node node) const { return directories_.contains(node); }
  [[nodiscard]] std::string_view content(Node file) const { return *files_.at(file).content; }
  [[nodiscard]] const Names& names(Node directory) const {
    return directories_.at(directory).names;
  }
  /// The content of every file that has a name, by path.
  [[nodiscard]] std::map<std::string, std::string> contents() const;
  /// Bytes in all files that have a name or are in `open`.
  [[nodiscard]] std::uint64_t used_bytes(const std::set<Node>& open) const;

  // ---- changes, none of them certain. `directory` and `file` exist, `name` is free or taken as said.

  Node add_file(Node directory, const std::string& name);
  Node add_directory(Node directory, const std::string& name);
  void add_name(Node directory, const std::string& name, Node node);
  void remove_name(Node directory, const std::string& name);
  void rename(Node from_directory, const std::string& from, Node to_directory,
              const std::string& to);
  void append(Node file, std::string_view bytes);

  // ---- what makes them certain

  /// The content is certain from here, unless `fail_sync` came before: then nothing more becomes
  /// certain, and this is a lie, as it is on a system that marks pages clean when writing them failed.
  void sync_file(Node file);
  void fail_sync(Node file) { files_.at(file).distrusted = true; }
  [[nodiscard]] bool is_distrusted(Node file) const { return files_.at(file).distrusted; }
  void sync_directory(Node directory);
  void sync_everything();

  // ---- what a crash leaves

  /// True if there is only one state in which the host may come up.
  [[nodiscard]] bool is_certain() const;
  /// Everything that is not certain is lost.
  [[nodiscard]] DiskImage without_unsynced() const;
  /// A legal state drawn from `random`.
  [[nodiscard]] DiskImage after_crash(Random& random) const;
  /// The same for the same paths and contents, and hardly for any others.
  [[nodiscard]] std::uint64_t fingerprint() const;

  /// Forgets nodes that no name leads to, nor may after a crash, except those in `open`.
  void forget_unreachable(const std::set<Node>& open);

 private:
  struct File {
    std::shared_ptr<const std::string> content;  ///< shared with copies of the image
    std::size_t synced_bytes = 0;                ///< of `content`, from its beginning
    bool distrusted = false;                     ///< a sync has failed
  };
  /// One step that survives or does not.
  struct NameChange {
    std::optional<std::string> removed;
    std::optional<std::string> added;  ///< as a name of `node`
    Node node = 0;
  };
  struct Directory {
    Names names;
    Names synced;
    std::vector<NameChange> unsynced;  ///< lead from `synced` to `names`
  };

  static void apply(const NameChange& change, Names& names);
  void change(Node directory, NameChange change);
  template <class Visit>
  void visit_files(Node directory, const std::string& path, Visit visit) const;

  Node next_node_ = 2;
  std::map<Node, File> files_;
  std::map<Node, Directory> directories_;
};

}  // namespace weir
