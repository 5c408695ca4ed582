/* tests/hosts/switch.c - a network switch in user space, for kernels without netem: what every
 * cable delays, and how fast it is, can be chosen.
 *
 * switch FILE PID...: port i (1, 2, ...) is the device eth0, a TAP, in the network namespace of the
 * i-th process. FILE, read at the start and at SIGHUP, has lines
 *   port I DELAY_US MBIT    of the cable of port i, in both directions; MBIT 0: as fast as it goes
 *   cut I                   its cable is pulled
 * A frame from port a to port b takes the rates of both cables one after the other, like a switch
 * that stores and forwards, and half of both delays: with the same delay d on all cables it comes
 * d later. What does not fit into a queue is dropped, as TCP expects. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PORTS = 16, QUEUE_BYTES = 4 << 20, FRAME_BYTES = 65536 + 256, BURST = 64 };
enum { HEAD = sizeof(struct virtio_net_hdr), ADDRESS = 6 };

typedef struct frame {
    struct frame *next;
    int64_t due; /* ns */
    size_t n;
    unsigned char bytes[];
} frame;

typedef struct {
    int fd;
    frame *first, **end;       /* to be sent to the host, by due */
    size_t queued;             /* bytes */
    int64_t in_free, out_free; /* when the cable is free again, from and to the host */
    int64_t delay;             /* ns */
    double ns_a_byte;
    int is_cut;
} port;

static port ports[MAX_PORTS];
static int n_ports;
static volatile sig_atomic_t is_changed = 1;

static void on_hup(int signal) {
    (void)signal;
    is_changed = 1;
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void read_cables(const char *path) {
    char line[128];
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    for (int i = 0; i < n_ports; i++)
        ports[i].is_cut = 0, ports[i].delay = 0, ports[i].ns_a_byte = 0;
    while (fgets(line, sizeof line, f)) {
        int i;
        long delay_us;
        double mbit;
        if (sscanf(line, "cut %d", &i) == 1 && i >= 1 && i <= n_ports)
            ports[i - 1].is_cut = 1;
        if (sscanf(line, "port %d %ld %lf", &i, &delay_us, &mbit) != 3 || i < 1 || i > n_ports)
            continue;
        ports[i - 1].delay = delay_us * 1000;
        ports[i - 1].ns_a_byte = mbit > 0 ? 8000 / mbit : 0;
    }
    fclose(f);
}

/* eth0 in the namespace of that process; whole segments of TCP pass as one frame. */
static int open_tap(const char *pid, int number) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) != 0)
        die(path);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    strcpy(request.ifr_name, "eth0");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        die("/dev/net/tun");
    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
    request.ifr_hwaddr.sa_family = 1;
    memcpy(request.ifr_hwaddr.sa_data, (char[]){2, 0, 0, 0, 0, (char)number}, ADDRESS);
    if (ioctl(fd, SIOCSIFHWADDR, &request) != 0)
        die("address");
    return fd;
}

/* The cable is busy with n bytes from t, or from its being free; returns the end of that. */
static int64_t pass(int64_t *is_free, double ns_a_byte, size_t n, int64_t t) {
    int64_t from = t > *is_free ? t : *is_free;
    *is_free = from + (int64_t)(ns_a_byte * (double)n);
    return *is_free;
}

static void forward(port *from, port *to, const unsigned char *bytes, size_t n, int64_t arrived) {
    frame *f = to->queued + n > QUEUE_BYTES ? NULL : malloc(sizeof *f + n);
    if (!f)
        return;
    f->due = pass(&to->out_free, to->ns_a_byte, n, arrived) + (from->delay + to->delay) / 2;
    f->n = n;
    f->next = NULL;
    memcpy(f->bytes, bytes, n);
    *to->end = f;
    to->end = &f->next;
    to->queued += n;
}

/* Behind the virtio head stand the receiver's address and the sender's; the last byte is the port's
 * number. An odd one is for all. */
static void take_frames(int number) {
    static unsigned char bytes[FRAME_BYTES];
    port *from = &ports[number];
    for (int i = 0; i < BURST; i++) {
        ssize_t n = read(from->fd, bytes, sizeof bytes);
        if (n <= HEAD + 2 * ADDRESS)
            return;
        if (from->is_cut)
            continue;
        int64_t arrived = pass(&from->in_free, from->ns_a_byte, (size_t)n, now());
        int to = bytes[HEAD + ADDRESS - 1] - 1;
        for (int p = 0; p < n_ports; p++)
            if (p != number && (bytes[HEAD] & 1 || p == to))
                forward(from, &ports[p], bytes, (size_t)n, arrived);
    }
}

/* Returns when the next frame is due. */
static int64_t send_due(port *p, int64_t t) {
    while (p->first && p->first->due <= t) {
        frame *f = p->first;
        if (!p->is_cut && write(p->fd, f->bytes, f->n) < 0 && errno != EIO && errno != EAGAIN)
            perror("write");
        p->queued -= f->n;
        p->first = f->next;
        if (!p->first)
            p->end = &p->first;
        free(f);
    }
    return p->first ? p->first->due : INT64_MAX;
}

static void turn(void) {
    struct pollfd wait[MAX_PORTS];
    int64_t t = now(), next = INT64_MAX;
    for (int i = 0; i < n_ports; i++) {
        int64_t due = send_due(&ports[i], t);
        next = due < next ? due : next;
        wait[i] = (struct pollfd){.fd = ports[i].fd, .events = POLLIN};
    }
    int64_t left = next - now();
    left = left > 0 ? left : 0;
    struct timespec until = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(wait, (nfds_t)n_ports, next == INT64_MAX ? NULL : &until, NULL) < 0)
        return; /* a signal */
    for (int i = 0; i < n_ports; i++)
        if (wait[i].revents & POLLIN)
            take_frames(i);
}

int main(int argc, char **argv) {
    n_ports = argc - 2;
    if (n_ports < 1 || n_ports > MAX_PORTS) {
        fprintf(stderr, "usage: switch FILE PID...\n");
        return 2;
    }
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < n_ports; i++) {
        ports[i].fd = open_tap(argv[i + 2], i + 1);
        ports[i].end = &ports[i].first;
    }
    if (home < 0 || setns(home, CLONE_NEWNET) != 0)
        die("namespace"); /* back, so that it does not end with a host */
    struct sigaction action = {.sa_handler = on_hup};
    sigaction(SIGHUP, &action, NULL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (is_changed) {
            is_changed = 0;
            read_cables(argv[1]);
        }
        turn();
    }
}
