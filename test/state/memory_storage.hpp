#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"

namespace weir::test {

/// Numbers that look random and are the same in every run.
class CountedRandom final : public Random {
 public:
  explicit CountedRandom(std::uint64_t seed = 0) : state_(seed) {}
  std::uint64_t next() override {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

/// A file that lies in memory and that a test may change at any time.
class MemoryFile final : public InputFile {
 public:
  explicit MemoryFile(std::shared_ptr<const std::string> bytes) : bytes_(std::move(bytes)) {}
  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) override {
    if (offset >= bytes_->size()) return std::size_t{0};
    const std::size_t part = std::min<std::size_t>(size, bytes_->size() - offset);
    std::memcpy(out, bytes_->data() + offset, part);
    bytes_read += part;
    return part;
  }
  Result<std::uint64_t> size() override { return bytes_->size(); }

  std::uint64_t bytes_read = 0;

 private:
  std::shared_ptr<const std::string> bytes_;
};

/// Snapshots in memory. `files` and `directories` are there to be looked at and damaged; the operations
/// are written down, and one of them can be made to fail.
class MemoryStorage final : public CheckpointStorage {
 public:
  std::map<std::string, std::shared_ptr<std::string>> files;
  std::set<std::string> directories{"/"};
  std::set<std::string> temporaries;    ///< created, neither published nor discarded
  std::vector<std::string> operations;  ///< such as "remove /d/f"
  std::string failing;                  ///< the operation that fails with `failure`
  std::string failing_prefix;  ///< operations that begin like this fail as well; empty: none
  Error failure{Errc::io_error, "injected"};
  bool needs_directories = false;  ///< as file systems do, and object stores do not

  void put(const std::string& path, std::string bytes) {
    files[path] = std::make_shared<std::string>(std::move(bytes));
    (void)create_directories(path.substr(0, path.rfind('/')));
  }
  std::string& bytes(const std::string& path) { return *files.at(path); }

  Result<std::unique_ptr<StorageOutput>> create(const std::string& path) override {
    WEIR_TRY(note("create " + path));
    if (needs_directories && !directories.contains(path.substr(0, path.rfind('/'))))
      return error(Errc::not_found, path + ": cannot create: no such directory");
    make_parents(path);
    temporaries.insert(path);
    return std::make_unique<Output>(*this, path);
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    WEIR_TRY(note("open " + path));
    const auto found = files.find(path);
    if (found == files.end()) return error(Errc::not_found, path + ": cannot open: not there");
    return std::make_unique<MemoryFile>(found->second);
  }
  Status create_directories(const std::string& path) override {
    WEIR_TRY(note("create_directories " + path));
    make_parents(path + "/");
    return {};
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    WEIR_TRY(note("list " + directory));
    if (!directories.contains(directory)) return error(Errc::not_found, directory + ": not there");
    std::map<std::string, DirectoryEntry> entries;
    const auto child_name = [&](const std::string& path) -> std::string {
      const bool inside = path.starts_with(directory + "/") &&
                          path.find('/', directory.size() + 1) == std::string::npos;
      return inside ? path.substr(directory.size() + 1) : std::string();
    };
    for (const auto& path : directories)
      if (const auto name = child_name(path); !name.empty()) entries[name] = {name, true, 0};
    for (const auto& [path, content] : files)
      if (const auto name = child_name(path); !name.empty())
        entries[name] = {name, false, content->size()};
    std::vector<DirectoryEntry> result;
    for (auto& [name, entry] : entries) result.push_back(entry);
    return result;
  }
  Status remove(const std::string& path) override {
    WEIR_TRY(note("remove " + path));
    files.erase(path);
    directories.erase(path);
    return {};
  }
  Status make_durable(const std::string& directory) override {
    return note("make_durable " + directory);
  }
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& directory) override {
    WEIR_TRY(note("lock " + directory));
    return std::make_unique<DirectoryLock>();
  }

 private:
  void make_parents(const std::string& path) {
    for (std::size_t end = path.find('/', 1); end != std::string::npos;
         end = path.find('/', end + 1))
      directories.insert(path.substr(0, end));
  }
  Status note(const std::string& operation) {
    operations.push_back(operation);
    if (operation == failing) return std::unexpected(failure);
    if (!failing_prefix.empty() && operation.starts_with(failing_prefix))
      return std::unexpected(failure);
    return {};
  }

  class Output final : public StorageOutput {
   public:
    Output(MemoryStorage& storage, std::string path) : storage_(storage), path_(std::move(path)) {}
    Status append(std::string_view bytes) override {
      WEIR_TRY(storage_.note("append " + path_));
      bytes_ += bytes;
      return {};
    }
    Status publish() override {
      WEIR_TRY(storage_.note("publish " + path_));
      if (storage_.files.contains(path_)) return error(Errc::already_exists, path_ + ": exists");
      storage_.files[path_] = std::make_shared<std::string>(bytes_);
      storage_.temporaries.erase(path_);
      published_ = true;
      return {};
    }
    void discard() override {
      if (published_) storage_.files.erase(path_);
      storage_.temporaries.erase(path_);
    }

   private:
    MemoryStorage& storage_;
    const std::string path_;
    std::string bytes_;
    bool published_ = false;
  };
};

}  // namespace weir::test
