#include "storage/file_checkpoint_storage.hpp"

#include <charconv>
#include <utility>

#include <boost/filesystem.hpp>

namespace weir {
namespace {

std::string parent_of(const std::string& path) {
  return boost::filesystem::path(path).parent_path().string();
}

/// `<directory>/.<name>.<random>`
std::string temporary_name(const std::string& path, Random& random) {
  const boost::filesystem::path place(path);
  char text[17] = {};
  std::to_chars(text, text + 16, random.next(), 16);
  return (place.parent_path() / ("." + place.filename().string() + "." + text)).string();
}

class FileStorageOutput final : public StorageOutput {
 public:
  FileStorageOutput(FileSystem& files, std::unique_ptr<OutputFile> file, std::string temporary,
                    std::string path)
      : files_(files),
        file_(std::move(file)),
        temporary_(std::move(temporary)),
        path_(std::move(path)) {}

  Status append(std::string_view bytes) override {
    if (state_ != State::writing) return given_up();
    return keep_failure(file_->append(bytes));
  }

  Status publish() override {
    if (state_ != State::writing) return given_up();
    WEIR_TRY(keep_failure(file_->sync()));
    WEIR_TRY(keep_failure(file_->close()));
    WEIR_TRY(keep_failure(files_.rename_no_replace(temporary_, path_)));
    state_ = State::published;
    const std::string directory = parent_of(path_);
    const Status synced = files_.sync_directory(directory);
    if (synced) return {};
    // The name is there but may be lost in a crash. The caller will be told that the file failed,
    // so it must not come back.
    const bool removed = files_.remove(path_) && files_.sync_directory(directory);
    state_ = State::failed;
    if (removed) return synced;
    return error(Errc::unavailable, synced.error().what + "; whether " + path_ +
                                        " will exist after a crash is unknown");
  }

  void discard() override {
    if (state_ == State::discarded) return;
    // What cannot be removed now is found by the orphan scan.
    if (state_ == State::published)
      (void)files_.remove(path_);
    else
      (void)files_.remove(temporary_);
    file_.reset();
    state_ = State::discarded;
  }

 private:
  enum class State {
    writing,    ///< the temporary file grows
    failed,     ///< an error was reported; only `discard` is left
    published,  ///< visible under its name
    discarded,  ///< nothing is left
  };

  Status keep_failure(Status status) {
    if (!status) state_ = State::failed;
    return status;
  }
  [[nodiscard]] Status given_up() const {
    return error(Errc::io_error, path_ + ": is not being written any more");
  }

  FileSystem& files_;
  std::unique_ptr<OutputFile> file_;
  const std::string temporary_;
  const std::string path_;
  State state_ = State::writing;
};

}  // namespace

Result<std::unique_ptr<StorageOutput>> FileCheckpointStorage::create(const std::string& path) {
  std::string temporary = temporary_name(path, random_);
  WEIR_TRY_ASSIGN(file, files_.create(temporary));
  return std::make_unique<FileStorageOutput>(files_, std::move(file), std::move(temporary), path);
}

Result<std::unique_ptr<InputFile>> FileCheckpointStorage::open(const std::string& path) {
  return files_.open(path);
}

Status FileCheckpointStorage::create_directories(const std::string& path) {
  return files_.create_directories(path);
}

Result<std::vector<DirectoryEntry>> FileCheckpointStorage::list(const std::string& directory) {
  return files_.list(directory);
}

Status FileCheckpointStorage::remove(const std::string& path) {
  const Status removed = files_.remove(path);
  if (!removed && removed.error().code != Errc::not_found) return removed;
  // Also if it is not there: whoever removed it may have failed, or been killed, before this, and then
  // a crash would bring it back.
  const Status synced = files_.sync_directory(parent_of(path));
  if (!synced && synced.error().code == Errc::not_found) return {};
  return synced;
}

Status FileCheckpointStorage::make_durable(const std::string& directory) {
  return files_.sync_directory(directory);
}

Result<std::unique_ptr<DirectoryLock>> FileCheckpointStorage::lock(const std::string& directory) {
  return files_.lock_directory(directory);
}

}  // namespace weir
