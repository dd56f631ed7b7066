#include <map>
#include <set>

#include <catch2/catch.hpp>

#include "test/simulation/faulty_code.hpp"
#include "test/simulation/storage_scenarios.hpp"

namespace weir::test {
namespace {

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// Follows the operations of a process and notes where one comes before what must precede it:
///
///   content synced -> name -> directory synced -> `_metadata` synced -> its name -> directory synced
///   -> reported complete, and `_metadata` durably gone -> data files removed, shared ones when all that
///   named them are gone
class SyncDiscipline {
 public:
  explicit SyncDiscipline(SimulatedDisk& disk) : disk_(disk) {}

  std::vector<std::string> violations;
  std::size_t metadata_named = 0;
  std::size_t completed = 0;

  void follow(const FileEvent& event) {
    if (event.distrusted) complain(event.path + " is synced again after its sync has failed");
    if (event.operation == FileOperation::append) unsynced_.insert(event.path);  // also in part
    if (event.failure) return;
    switch (event.operation) {
      case FileOperation::create:
      case FileOperation::make_directory:
        new_names_.insert(event.path);
        break;
      case FileOperation::sync:
        if (!event.distrusted) unsynced_.erase(event.path);
        break;
      case FileOperation::rename:
        renamed(event.path, event.to);
        break;
      case FileOperation::sync_directory:
        for (const std::string& path : removed_)
          if (parent_of(path) == event.path) shares_.erase(path);
        forget_in(new_names_, event.path);
        forget_in(removed_, event.path);
        break;
      case FileOperation::remove:
        if (name_of(event.path).starts_with("data-") &&
            removed_.contains(parent_of(event.path) + "/_metadata"))
          complain(event.path + " is removed before its _metadata is durably gone");
        for (const auto& [metadata, files] : shares_)
          if (files.contains(event.path))
            complain(event.path + " is removed before " + metadata + " is durably gone");
        new_names_.erase(event.path);
        removed_.insert(event.path);
        break;
      default:
        break;
    }
  }

  /// To be called before the snapshot in `directory` is reported complete.
  void complete(const std::string& directory) {
    ++completed;
    check_durable(directory + "/_metadata", "reported complete");
  }

 private:
  void complain(const std::string& what) { violations.push_back(what); }

  static void forget_in(std::set<std::string>& names, const std::string& directory) {
    const std::string parent = directory == "/" ? "" : directory;
    std::erase_if(names, [&](const std::string& path) { return parent_of(path) == parent; });
  }

  void renamed(const std::string& from, const std::string& to) {
    if (unsynced_.erase(from) > 0) unsynced_.insert(to);
    new_names_.erase(from);
    new_names_.insert(to);
    if (unsynced_.contains(to)) complain(to + " gets its name before its content is synced");
    if (name_of(to) != metadata_file_name) return;
    ++metadata_named;
    const auto contents = disk_.contents();
    const auto metadata = decode_metadata(contents.at(to), to);
    if (!metadata) return complain(metadata.error().what);
    for (const DataLocation& location : metadata->locations) {
      if (location.file.empty()) continue;
      const std::string file =
          (location.shared ? shared_directory(parent_of(to)) : parent_of(to)) + "/" + location.file;
      check_durable(file, "named in a _metadata");
      if (location.shared) shares_[to].insert(file);
    }
  }

  void check_durable(const std::string& path, const std::string& when) {
    if (unsynced_.contains(path)) complain(path + " is " + when + " before its content is synced");
    for (std::string name = path; !name.empty(); name = parent_of(name))
      if (new_names_.contains(name))
        complain(path + " is " + when + " before " + name + " is durable");
  }

  SimulatedDisk& disk_;
  std::set<std::string> unsynced_;   ///< files with unsynced content
  std::set<std::string> new_names_;  ///< that a crash may take
  std::set<std::string> removed_;    ///< names that a crash may bring back
  std::map<std::string, std::set<std::string>>
      shares_;  ///< by `_metadata`, unless it is gone for ever
};

/// 100 checkpoints, with a savepoint after every tenth and a restart after every twenty-fifth.
SyncDiscipline follow_checkpoints(const Host::Code& code, std::optional<InjectedFault> fault = {},
                                  bool incremental = false) {
  Host host(DiskImage(), {}, code, 0, 1000);
  host.ledger.incremental = incremental;
  SyncDiscipline discipline(*host.disk);
  host.disk->observe([&](const FileEvent& event) { discipline.follow(event); });
  const auto listen = [&] {
    host.job().on_complete = [&](const std::string& directory) { discipline.complete(directory); };
  };
  listen();
  REQUIRE(host.job().start());
  for (int i = 1; i <= 100; ++i) {
    REQUIRE(host.job().write(1));
    if (fault && i % 7 == 0) {
      host.disk->inject(*fault);
      (void)host.job().checkpoint();
      host.disk->heal();
    }
    if (i % 25 == 0 || host.job().is_broken()) {
      host.begin_process();
      listen();
      if (!host.job().start()) break;  // then not all of them complete
    }
    REQUIRE(host.job().checkpoint());
    if (i % 10 == 0)
      REQUIRE(host.job().savepoint(incremental ? SnapshotForm::native : SnapshotForm::canonical));
  }
  host.disk->observe(nullptr);
  return discipline;
}

bool is_caught(const Host::Code& code) { return !follow_checkpoints(code).violations.empty(); }

TEST_CASE("everything is synced before something relies on it", "[simulation]") {
  const bool incremental = GENERATE(false, true);
  CAPTURE(incremental);
  const SyncDiscipline discipline = follow_checkpoints({}, {}, incremental);
  CHECK(discipline.violations == std::vector<std::string>{});
  CHECK(discipline.completed == 110);
  CHECK(discipline.metadata_named == 110);
}

TEST_CASE("everything is synced also where syncs fail, and no failed sync is tried again",
          "[simulation]") {
  for (const FileOperation operation : {FileOperation::sync, FileOperation::sync_directory}) {
    for (std::size_t at = 1; at <= 16; ++at) {
      const bool incremental = at > 8;
      const auto discipline = follow_checkpoints(
          {}, InjectedFault{Fault::io_error, (at - 1) % 8 + 1, 1, operation}, incremental);
      CAPTURE(to_string(operation), at, incremental);
      CHECK(discipline.violations == std::vector<std::string>{});
      CHECK(discipline.completed >= 110);
    }
  }
}

TEST_CASE("the order of operations shows code that leaves out a sync", "[simulation]") {
  CHECK(is_caught(careless(Carelessness::no_file_sync)));
  CHECK(is_caught(careless(Carelessness::no_directory_sync)));
}
TEST_CASE("the order of operations shows a storage that renames before it syncs", "[simulation]") {
  CHECK(is_caught(careless(Shortcut::renames_before_sync)));
}
TEST_CASE("the order of operations shows a deletion that takes what others share", "[simulation]") {
  CHECK_FALSE(follow_checkpoints(sharing_nothing(), {}, true).violations.empty());
}
TEST_CASE("the order of operations shows a sync that is tried again", "[simulation]") {
  const auto discipline =
      follow_checkpoints(careless(Carelessness::retries_file_sync),
                         InjectedFault{Fault::io_error, 1, 1, FileOperation::sync});
  CHECK_FALSE(discipline.violations.empty());
}

}  // namespace
}  // namespace weir::test
