#pragma once

#include <memory>
#include <string>
#include <vector>

#include "state/file_system.hpp"

namespace weir::test {

/// Passes everything on. A test derives from it and changes what it is about.
class PassingFileSystem : public FileSystem {
 public:
  /// `files` outlives this.
  explicit PassingFileSystem(FileSystem& files) : files_(files) {}
  Result<std::unique_ptr<OutputFile>> create(const std::string& path) override {
    return files_.create(path);
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    return files_.open(path);
  }
  Status rename_no_replace(const std::string& from, const std::string& to) override {
    return files_.rename_no_replace(from, to);
  }
  Status sync_directory(const std::string& directory) override {
    return files_.sync_directory(directory);
  }
  Status make_directory(const std::string& path) override { return files_.make_directory(path); }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    return files_.list(directory);
  }
  Result<DirectoryEntry> stat(const std::string& path) override { return files_.stat(path); }
  Status remove(const std::string& path) override { return files_.remove(path); }
  Status link(const std::string& from, const std::string& to) override {
    return files_.link(from, to);
  }
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& directory) override {
    return files_.lock_directory(directory);
  }
  Result<std::string> identify_directory(const std::string& path) override {
    return files_.identify_directory(path);
  }

 protected:
  FileSystem& files_;
};

}  // namespace weir::test
