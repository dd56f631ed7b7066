#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state/file_system.hpp"

namespace weir {

/// Files in memory, for tests that write: any call can be made to fail, and a crash of the machine
/// loses everything that was not synced, contents and names alike. Directories are durable at once.
class CrashFileSystem final : public FileSystem {
 public:
  /// How a call fails.
  enum class Failure {
    without_effect,  ///< nothing has happened
    with_effect      ///< it has happened and is reported as failed
  };

  /// The `call`-th call from now fails, counted from 1; 0: none. Reads count as well.
  void fail_at(std::size_t call, Failure failure) {
    calls_until_failure_ = call;
    failure_ = failure;
  }
  /// What is left when the machine stops now and starts again.
  void lose_unsynced() {
    names_ = durable_names_;
    for (auto& [path, file] : names_) file->content = file->durable;
  }

  /// Contents by path, for looking and for tampering.
  [[nodiscard]] std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> result;
    for (const auto& [path, file] : names_) result[path] = file->content;
    return result;
  }
  void put(const std::string& path, std::string content) {
    directories_.insert(parent(path));
    durable_names_[path] = names_[path] = std::make_shared<File>(content, content);
  }
  void erase(const std::string& path) {
    names_.erase(path);
    durable_names_.erase(path);
  }
  std::set<std::string> unwritable;  ///< directories in which nothing can be created
  bool renames_by_linking = false;   ///< and the next rename stops in between

  Result<std::unique_ptr<OutputFile>> create(const std::string& path) override {
    if (unwritable.contains(parent(path)))
      return error(Errc::io_error, path + ": permission denied");
    if (!directories_.contains(parent(path)))
      return error(Errc::not_found, path + ": no directory");
    if (names_.contains(path)) return error(Errc::already_exists, path + ": exists");
    std::unique_ptr<OutputFile> opened;
    WEIR_TRY(attempt(path, [&] {
      names_[path] = std::make_shared<File>();
      opened = std::make_unique<Output>(*this, path, names_[path]);
    }));
    return opened;
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    return error(Errc::unsupported, path + ": not for reading");
  }
  Status rename_no_replace(const std::string& from, const std::string& to) override {
    if (!names_.contains(from)) return error(Errc::not_found, from + ": no such file");
    if (names_.contains(to)) return error(Errc::already_exists, to + ": exists");
    return attempt(from, [&] {
      names_[to] = names_[from];
      if (!std::exchange(renames_by_linking, false)) names_.erase(from);
    });
  }
  Status sync_directory(const std::string& directory) override {
    return attempt(directory, [&] {
      std::erase_if(durable_names_,
                    [&](const auto& name) { return parent(name.first) == directory; });
      for (const auto& [path, file] : names_)
        if (parent(path) == directory) durable_names_[path] = file;
    });
  }
  Status create_directories(const std::string& path) override {
    return attempt(path, [&] { directories_.insert(path); });
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    if (!directories_.contains(directory)) return error(Errc::not_found, directory + ": missing");
    std::vector<DirectoryEntry> entries;
    WEIR_TRY(attempt(directory, [] {}));
    for (const auto& [path, file] : names_)
      if (parent(path) == directory)
        entries.push_back({path.substr(directory.size() + 1), false, file->content.size()});
    return entries;
  }
  Result<DirectoryEntry> stat(const std::string& path) override {
    WEIR_TRY(attempt(path, [] {}));
    const auto found = names_.find(path);
    if (found == names_.end()) return error(Errc::not_found, path + ": no such file");
    return DirectoryEntry{path.substr(path.find_last_of('/') + 1), false,
                          found->second->content.size()};
  }
  Status remove(const std::string& path) override {
    if (!names_.contains(path)) return error(Errc::not_found, path + ": no such file");
    return attempt(path, [&] { names_.erase(path); });
  }
  Status link(const std::string& from, const std::string&) override {
    return error(Errc::unsupported, from + ": no links");
  }
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& directory) override {
    return error(Errc::unsupported, directory + ": no locks");
  }

 private:
  struct File {
    std::string content;
    std::string durable;
  };
  class Output : public OutputFile {
   public:
    Output(CrashFileSystem& owner, std::string path, std::shared_ptr<File> file)
        : owner_(owner), path_(std::move(path)), file_(std::move(file)) {}
    Status append(std::string_view bytes) override {
      return owner_.attempt(path_, [&] { file_->content += bytes; });
    }
    Status sync() override {
      return owner_.attempt(path_, [&] { file_->durable = file_->content; });
    }
    Status close() override {
      return owner_.attempt(path_, [] {});
    }

   private:
    CrashFileSystem& owner_;
    const std::string path_;
    const std::shared_ptr<File> file_;
  };
  friend class Output;

  static std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

  /// Has `effect`, unless it is this call's turn to fail.
  template <class Effect>
  Status attempt(const std::string& path, Effect effect) {
    const bool fails = calls_until_failure_ > 0 && --calls_until_failure_ == 0;
    if (!fails || failure_ == Failure::with_effect) effect();
    return fails ? error(Errc::io_error, path + ": input/output error") : Status{};
  }

  std::map<std::string, std::shared_ptr<File>> names_;
  std::map<std::string, std::shared_ptr<File>> durable_names_;
  std::set<std::string> directories_;
  std::size_t calls_until_failure_ = 0;
  Failure failure_ = Failure::without_effect;
};

}  // namespace weir
