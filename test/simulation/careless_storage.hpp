#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "state/checkpoint_storage.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "test/storage/passing_file_system.hpp"

namespace weir::test {

/// What a file system that is not used with care leaves out or does on its own.
enum class Carelessness : std::uint8_t { no_file_sync, no_directory_sync, retries_file_sync };

/// Passes everything on, but for one thing, and that below one directory alone.
class CarelessFiles final : public PassingFileSystem {
 public:
  CarelessFiles(FileSystem& files, Carelessness how, std::string directory = "/")
      : PassingFileSystem(files), how_(how), directory_(std::move(directory)) {}

  Result<std::unique_ptr<OutputFile>> create(const std::string& path) override {
    WEIR_TRY_ASSIGN(file, files_.create(path));
    if (!path.starts_with(directory_)) return file;
    return std::make_unique<Output>(std::move(file), how_);
  }
  Status sync_directory(const std::string& directory) override {
    const bool forgets =
        how_ == Carelessness::no_directory_sync && directory.starts_with(directory_);
    return forgets ? Status() : files_.sync_directory(directory);
  }

 private:
  class Output final : public OutputFile {
   public:
    Output(std::unique_ptr<OutputFile> file, Carelessness how)
        : file_(std::move(file)), how_(how) {}
    Status append(std::string_view bytes) override { return file_->append(bytes); }
    Status sync() override {
      if (how_ == Carelessness::no_file_sync) return {};
      const Status synced = file_->sync();
      return synced || how_ != Carelessness::retries_file_sync ? synced : file_->sync();
    }
    Status close() override { return file_->close(); }

   private:
    const std::unique_ptr<OutputFile> file_;
    const Carelessness how_;
  };

  const Carelessness how_;
  const std::string directory_;
};

/// Steps that a storage may leave out or do in another order.
enum class Shortcut : std::uint8_t {
  renames_before_sync,   ///< the name is there, and durable, before the content
  forgets_when_missing,  ///< what is not there is taken for durably removed
  forgets_the_living,    ///< what a scan shows is taken for durable
  trusts_directories,    ///< a directory that is there is taken for durable
};

/// `FileCheckpointStorage`, but for one step.
class CarelessStorage final : public CheckpointStorage {
 public:
  CarelessStorage(FileSystem& files, Random& random, Shortcut how)
      : files_(files), storage_(files, random), how_(how) {}

  Result<std::unique_ptr<StorageOutput>> create(const std::string& path) override {
    if (how_ != Shortcut::renames_before_sync) return storage_.create(path);
    WEIR_TRY_ASSIGN(file, files_.create(path + ".new"));
    return std::make_unique<Output>(files_, std::move(file), path);
  }
  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    return storage_.open(path);
  }
  Status create_directories(const std::string& path) override {
    if (how_ != Shortcut::trusts_directories) return storage_.create_directories(path);
    if (files_.stat(path)) return {};
    const std::string parent = path.substr(0, path.rfind('/'));
    if (!parent.empty()) WEIR_TRY(create_directories(parent));
    const Status made = files_.make_directory(path);
    if (!made && made.error().code != Errc::already_exists) return made;
    return files_.sync_directory(parent.empty() ? "/" : parent);
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    return storage_.list(directory);
  }
  Status remove(const std::string& path) override {
    const bool missing = !files_.stat(path);
    return how_ == Shortcut::forgets_when_missing && missing ? Status() : storage_.remove(path);
  }
  Status make_durable(const std::string& directory) override {
    return how_ == Shortcut::forgets_the_living ? Status() : storage_.make_durable(directory);
  }
  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& directory) override {
    return storage_.lock(directory);
  }

 private:
  class Output final : public StorageOutput {
   public:
    Output(FileSystem& files, std::unique_ptr<OutputFile> file, std::string path)
        : files_(files), file_(std::move(file)), path_(std::move(path)) {}
    Status append(std::string_view bytes) override { return file_->append(bytes); }
    Status publish() override {
      WEIR_TRY(files_.rename_no_replace(path_ + ".new", path_));
      WEIR_TRY(files_.sync_directory(path_.substr(0, path_.rfind('/'))));
      WEIR_TRY(file_->sync());
      return file_->close();
    }
    void discard() override { (void)files_.remove(path_ + ".new"); }

   private:
    FileSystem& files_;
    const std::unique_ptr<OutputFile> file_;
    const std::string path_;
  };

  FileSystem& files_;
  FileCheckpointStorage storage_;
  const Shortcut how_;
};

}  // namespace weir::test
