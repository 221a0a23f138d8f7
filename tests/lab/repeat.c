// Runs in a test guest, as root: repeats an operation that must not leave any cost on the host.
//
//   repeat resets DEVICE COUNT    DEVICE is a virtio function, such as 0000:00:04.0, that has no
//                                 driver; each time it is reset, started, and its queue 0 is reset
//   repeat opens FILE COUNT       opens, reads and closes FILE
//
// Ends with the line "REPEATED COUNT".

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// The common configuration, which vmm places at the start of BAR 0. [VIRTIO 1.2 §4.1.4.3]
enum {
  kDriverFeatureSelect = 8,
  kDriverFeature = 12,
  kStatus = 20,
  kQueueSelect = 22,
  kQueueSize = 24,
  kQueueEnable = 28,
  kQueueDescriptors = 32,
  kQueueDriver = 40,
  kQueueDevice = 48,
  kQueueReset = 58,
};
enum { kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8 };
enum { kFeaturesHigh = 1 | 1 << 8 };  // VIRTIO_F_VERSION_1, VIRTIO_F_RING_RESET

static volatile uint8_t* bar;

static void Die(const char* what) {
  perror(what);
  exit(1);
}

static void Set8(int at, uint8_t value) { bar[at] = value; }
static void Set16(int at, uint16_t value) { *(volatile uint16_t*)(bar + at) = value; }
static void Set32(int at, uint32_t value) { *(volatile uint32_t*)(bar + at) = value; }
static void SetAddress(int at, uint64_t value) {
  Set32(at, (uint32_t)value);
  Set32(at + 4, (uint32_t)(value >> 32));
}

static void WriteText(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) Die(path);
  close(fd);
}

// Returns the physical address of a zeroed page for the rings. The page does not move.
static uint64_t RingPage(void) {
  void* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
  if (page == MAP_FAILED) Die("mmap");
  *(volatile uint8_t*)page = 0;
  uint64_t entry = 0;
  const int fd = open("/proc/self/pagemap", O_RDONLY);
  if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)page / 4096 * 8)) != 8) Die("pagemap");
  close(fd);
  return (entry & ((UINT64_C(1) << 55) - 1)) * 4096;
}

static void EnableQueue(uint64_t page) {
  Set16(kQueueSelect, 0);
  Set16(kQueueSize, 8);
  SetAddress(kQueueDescriptors, page);
  SetAddress(kQueueDriver, page + 0x400);
  SetAddress(kQueueDevice, page + 0x800);
  Set16(kQueueEnable, 1);
}

static void Resets(const char* device, long count) {
  char path[256];
  snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/enable", device);
  WriteText(path, "1");
  snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", device);
  const int fd = open(path, O_RDWR);
  if (fd < 0) Die(path);
  bar = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (bar == MAP_FAILED) Die(path);
  const uint64_t page = RingPage();
  for (long i = 0; i < count; ++i) {
    Set8(kStatus, 0);
    while (bar[kStatus] != 0) continue;
    Set8(kStatus, kAcknowledge | kDriver);
    Set32(kDriverFeatureSelect, 1);
    Set32(kDriverFeature, kFeaturesHigh);
    Set8(kStatus, kAcknowledge | kDriver | kFeaturesOk);
    EnableQueue(page);
    Set8(kStatus, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
    Set16(kQueueReset, 1);
    while (*(volatile uint16_t*)(bar + kQueueReset) != 0) continue;
    EnableQueue(page);
  }
  Set8(kStatus, 0);
  while (bar[kStatus] != 0) continue;
}

static void Opens(const char* file, long count) {
  char byte;
  for (long i = 0; i < count; ++i) {
    const int fd = open(file, O_RDONLY);
    if (fd < 0 || read(fd, &byte, 1) != 1) Die(file);
    close(fd);
  }
}

int main(int argc, char** argv) {
  const long count = argc == 4 ? atol(argv[3]) : 0;
  if (count > 0 && strcmp(argv[1], "resets") == 0) {
    Resets(argv[2], count);
  } else if (count > 0 && strcmp(argv[1], "opens") == 0) {
    Opens(argv[2], count);
  } else {
    fprintf(stderr, "usage: repeat resets DEVICE COUNT | repeat opens FILE COUNT\n");
    return 2;
  }
  printf("REPEATED %ld\n", count);
  return 0;
}
