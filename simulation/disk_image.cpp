#include "simulation/disk_image.hpp"

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <algorithm>
#include <utility>

#include <xxhash.h>

#include "state/result.hpp"

namespace weir {
namespace {

constexpr DiskImage::Node root = 1;
/// What a disk writes whole or not at all.
constexpr std::size_t sector_bytes = 512;

/// Evenly enough below `end`, which is at least 1.
std::size_t draw(Random& random, std::size_t end) { return (random.next() >> 11) % end; }
bool toss(Random& random) { return draw(random, 2) == 0; }

/// Which of the unsynced steps survive a crash: often all, none or a beginning, else any subset.
std::vector<bool> draw_survivors(std::size_t count, Random& random) {
  std::vector<bool> survives(count, false);
  switch (draw(random, 4)) {
    case 0:
      break;
    case 1:
      std::fill_n(survives.begin(), draw(random, count + 1), true);
      break;
    case 2:
      survives.assign(count, true);
      break;
    default:
      for (std::size_t i = 0; i < count; ++i) survives[i] = toss(random);
  }
  return survives;
}

/// What is left of `content`, of which the first `synced_bytes` are certain and the others are not.
std::string draw_content(const std::string& content, std::size_t synced_bytes, Random& random) {
  const std::size_t unsynced = content.size() - synced_bytes;
  switch (draw(random, 4)) {
    case 0:
      return content.substr(0, synced_bytes);
    case 1:
      return content;
    case 2:
      return content.substr(0, synced_bytes + draw(random, unsynced + 1));
    default: {
      // The length is there, and some of the sectors are not; one that is partly certain stays.
      std::string torn = content;
      const bool all = draw(random, 4) == 0;
      for (std::size_t at = synced_bytes; at < torn.size();) {
        const std::size_t end = std::min((at / sector_bytes + 1) * sector_bytes, torn.size());
        if (all || toss(random)) std::fill(torn.begin() + at, torn.begin() + end, '\0');
        at = end;
      }
      return torn;
    }
  }
}

}  // namespace

DiskImage::DiskImage() { directories_[root]; }

std::optional<DiskImage::Node> DiskImage::find(std::string_view path) const {
  Node place = root;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name.empty()) continue;
    const auto directory = directories_.find(place);
    if (directory == directories_.end()) return std::nullopt;
    const auto found = directory->second.names.find(std::string(name));
    if (found == directory->second.names.end()) return std::nullopt;
    place = found->second;
  }
  return place;
}

template <class Visit>
void DiskImage::visit_files(Node directory, const std::string& path, Visit visit) const {
  for (const auto& [name, node] : directories_.at(directory).names) {
    const std::string below = path + "/" + name;
    if (is_directory(node))
      visit_files(node, below, visit);
    else
      visit(below, node);
  }
}

std::map<std::string, std::string> DiskImage::contents() const {
  std::map<std::string, std::string> result;
  visit_files(root, "", [&](const std::string& path, Node node) { result[path] = content(node); });
  return result;
}

std::uint64_t DiskImage::used_bytes(const std::set<Node>& open) const {
  std::set<Node> counted = open;
  visit_files(root, "", [&](const std::string&, Node node) { counted.insert(node); });
  std::uint64_t bytes = 0;
  for (const Node node : counted) bytes += content(node).size();
  return bytes;
}

void DiskImage::apply(const NameChange& change, Names& names) {
  if (change.removed) names.erase(*change.removed);
  if (change.added) names[*change.added] = change.node;
}

void DiskImage::change(Node directory, NameChange change) {
  Directory& place = directories_.at(directory);
  apply(change, place.names);
  place.unsynced.push_back(std::move(change));
}

DiskImage::Node DiskImage::add_file(Node directory, const std::string& name) {
  const Node node = next_node_++;
  files_[node].content = std::make_shared<const std::string>();
  add_name(directory, name, node);
  return node;
}

DiskImage::Node DiskImage::add_directory(Node directory, const std::string& name) {
  const Node node = next_node_++;
  directories_[node];
  add_name(directory, name, node);
  return node;
}

void DiskImage::add_name(Node directory, const std::string& name, Node node) {
  change(directory, {std::nullopt, name, node});
}

void DiskImage::remove_name(Node directory, const std::string& name) {
  change(directory, {name, std::nullopt, 0});
}

void DiskImage::rename(Node from_directory, const std::string& from, Node to_directory,
                       const std::string& to) {
  const Node node = names(from_directory).at(from);
  if (from_directory == to_directory) {
    change(from_directory, {from, to, node});
    return;
  }
  add_name(to_directory, to, node);
  remove_name(from_directory, from);
}

void DiskImage::append(Node file, std::string_view bytes) {
  File& grown = files_.at(file);
  std::string content;
  content.reserve(grown.content->size() + bytes.size());
  content += *grown.content;
  content += bytes;
  grown.content = std::make_shared<const std::string>(std::move(content));
}

void DiskImage::sync_file(Node file) {
  File& synced = files_.at(file);
  if (!synced.distrusted) synced.synced_bytes = synced.content->size();
}

void DiskImage::sync_directory(Node directory) {
  Directory& place = directories_.at(directory);
  place.synced = place.names;
  place.unsynced.clear();
}

void DiskImage::sync_everything() {
  for (auto& [node, file] : files_) sync_file(node);
  for (auto& [node, directory] : directories_) sync_directory(node);
}

bool DiskImage::is_certain() const {
  return std::ranges::all_of(directories_,
                             [](const auto& one) { return one.second.unsynced.empty(); }) &&
         std::ranges::all_of(files_, [](const auto& one) {
           return one.second.synced_bytes == one.second.content->size();
         });
}

DiskImage DiskImage::without_unsynced() const {
  DiskImage left = *this;
  for (auto& [node, directory] : left.directories_) directory.names = directory.synced;
  for (auto& [node, file] : left.files_) {
    file.content = std::make_shared<const std::string>(file.content->substr(0, file.synced_bytes));
    file.distrusted = false;
  }
  left.sync_everything();
  left.forget_unreachable({});
  return left;
}

DiskImage DiskImage::after_crash(Random& random) const {
  DiskImage left = *this;
  for (auto& [node, directory] : left.directories_) {
    const auto survives = draw_survivors(directory.unsynced.size(), random);
    directory.names = directory.synced;
    for (std::size_t i = 0; i < survives.size(); ++i)
      if (survives[i]) apply(directory.unsynced[i], directory.names);
  }
  for (auto& [node, file] : left.files_) {
    if (file.synced_bytes < file.content->size()) {
      file.content = std::make_shared<const std::string>(
          draw_content(*file.content, file.synced_bytes, random));
    }
    file.distrusted = false;
  }
  left.sync_everything();
  left.forget_unreachable({});
  return left;
}

std::uint64_t DiskImage::fingerprint() const {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  const auto add = [&](std::string_view text) {
    const std::uint64_t size = text.size();
    XXH3_64bits_update(&state, &size, sizeof(size));
    XXH3_64bits_update(&state, text.data(), text.size());
  };
  for (const auto& [node, directory] : directories_) {
    if (node != root && directory.names.empty()) add("empty directory");
    for (const auto& [name, child] : directory.names) {
      add(name);
      add(is_directory(child) ? std::to_string(child) : content(child));
    }
  }
  return XXH3_64bits_digest(&state);
}

void DiskImage::forget_unreachable(const std::set<Node>& open) {
  std::set<Node> reached = open;
  std::vector<Node> waiting{root};
  const auto reach = [&](Node node) {
    if (reached.insert(node).second && is_directory(node)) waiting.push_back(node);
  };
  reached.insert(root);
  while (!waiting.empty()) {
    const Directory& directory = directories_.at(waiting.back());
    waiting.pop_back();
    for (const auto& [name, node] : directory.names) reach(node);
    for (const auto& [name, node] : directory.synced) reach(node);
    for (const auto& change : directory.unsynced)
      if (change.added) reach(change.node);
  }
  std::erase_if(files_, [&](const auto& one) { return !reached.contains(one.first); });
  std::erase_if(directories_, [&](const auto& one) { return !reached.contains(one.first); });
}

}  // namespace weir
