#include "cli/job_library.hpp"

#include <dlfcn.h>
#include <utility>

#include "cli/elf_file.hpp"
#include "cli/sha256.hpp"

namespace weir {
namespace {

/// A library is read as a whole.
constexpr std::uint64_t max_library_bytes = std::uint64_t{1} << 30;

Status write_file(FileSystem& files, const std::string& path, std::string_view bytes) {
  WEIR_TRY_ASSIGN(file, files.create(path));
  WEIR_TRY(file->append(bytes));
  return file->close();
}

/// What the loader, which tells it in a text alone, has to say of the library at `path`.
std::string loader_error(const std::string& copy, const std::string& path) {
  const char* text = ::dlerror();
  std::string said = text == nullptr ? "the loader gives no reason" : text;
  if (said.starts_with(copy + ": ")) said.erase(0, copy.size() + 2);
  return path + ": cannot be loaded: " + said;
}

}  // namespace

Result<JobCode> LocalJobLibraries::load(const std::string& path) {
  const auto entry = files_.stat(path);
  if (!entry && entry.error().code == Errc::not_found)
    return error(Errc::not_found,
                 path + ": there is no such file; build it with `weir compile JOB.cpp -o JOB.so`");
  if (!entry) return std::unexpected(entry.error());
  if (entry->is_directory) return error(Errc::unsupported, path + ": this is a directory, no job");
  WEIR_TRY_ASSIGN(bytes, read_file(files_, path, max_library_bytes));
  WEIR_TRY(check_job_library(bytes, path));
  const std::string sha256 = sha256_hex(bytes);
  const std::scoped_lock lock(mutex_);
  const auto found = loaded_.find(sha256);
  if (found != loaded_.end()) return found->second;
  WEIR_TRY_ASSIGN(code, open_copy(bytes, sha256, path));
  loaded_.emplace(sha256, code);
  return code;
}

Result<JobCode> LocalJobLibraries::open_copy(const std::string& bytes, const std::string& sha256,
                                             const std::string& path) {
  const std::string copy = directory_ + "/" + sha256 + ".so";
  const Status written = write_file(files_, copy, bytes);
  if (!written && written.error().code != Errc::already_exists)
    return std::unexpected(written.error());
  void* library = ::dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return error(Errc::unsupported, loader_error(copy, path) +
                                        "; if it needs another library, name that to `weir "
                                        "compile` behind --");
  const auto* descriptor = static_cast<const JobDescriptor*>(
      ::dlsym(library, std::string(job_descriptor_symbol).c_str()));
  if (descriptor == nullptr) return error(Errc::unsupported, loader_error(copy, path));
  if (descriptor->name == nullptr || descriptor->entry == nullptr)
    return error(Errc::unsupported, path + ": its job descriptor names no job function; register " +
                                        "one with WEIR_JOB and compile it again");
  return JobCode{descriptor->name, sha256, descriptor};
}

Result<JobCode> LocalJobLibraries::add_linked(const JobDescriptor& descriptor) {
  WEIR_TRY_ASSIGN(bytes, read_file(files_, "/proc/self/exe", max_library_bytes));
  JobCode code{descriptor.name, sha256_hex(bytes), &descriptor};
  const std::scoped_lock lock(mutex_);
  loaded_.emplace(code.sha256, code);
  return code;
}

std::expected<JobRun, JobRunError> LocalJobLibraries::run(
    const JobCode& code, const std::vector<std::string>& arguments,
    const Configuration& configuration) const {
  return run_job_function(*code.descriptor,
                          {arguments, configuration, working_directory_, most_generated_});
}

Result<std::shared_ptr<const Plan>> LocalJobLibraries::build_plan(
    const std::string& library_sha256, const std::vector<std::string>& arguments,
    const std::map<std::string, std::string>& configuration) {
  WEIR_TRY_ASSIGN(settings, Configuration::from_map(configuration, "job"));
  JobCode code;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = loaded_.find(library_sha256);
    if (found == loaded_.end())
      return error(Errc::not_found, "this process has no job library " + library_sha256);
    code = found->second;
  }
  auto built = run(code, arguments, settings);
  if (!built) return std::unexpected(std::move(built.error().error));
  return std::move(built->plan);
}

}  // namespace weir
