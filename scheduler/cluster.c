/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_hash.h"
#include "scheduler/sea_db.h"

#define VERSION_MIN 15
#define SOCKET_FILE_MAX 17      /* "/.s.PGSQL.65535" and the final 0 */
#define OUTPUT_MAX 2048
#define TURN_MS 180000          /* for another `sea up` that is making or starting the cluster */
#define LOOK_MS 50

/* ---- who and where ---- */

static void
choose_user(struct sea_cluster *cluster)
{
    const char *names[] = { "postgres", "nobody" };
    size_t i;

    cluster->uid = geteuid();
    cluster->gid = getegid();
    for (i = 0; i < 2 && cluster->uid == 0; i++) {
        const struct passwd *user = getpwnam(names[i]);

        if (user) {
            cluster->uid = user->pw_uid;
            cluster->gid = user->pw_gid;
        }
    }
}

static bool
become(const struct sea_cluster *cluster)
{
    if (geteuid() != 0)
        return true;
    return setgroups(1, &cluster->gid) == 0 && setgid(cluster->gid) == 0 &&
           setuid(cluster->uid) == 0;
}

/* True when the server's user may pass through dir, or to where it would be made: asked as that
 * user. */
static bool
is_reachable(const struct sea_cluster *cluster, const char *path)
{
    char dir[SEA_PATH_MAX];
    pid_t pid;
    int how = 1;

    if (geteuid() != 0)
        return true;
    sea_dir_nearest(path, dir);
    pid = fork();
    if (pid == 0)
        _exit(become(cluster) && access(dir, X_OK) == 0 ? 0 : 1);
    while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static int
bin_version(const char *path)
{
    const char *at = strstr(path, "/postgresql/");

    return at ? (int)strtol(at + 12, NULL, 10) : 0;
}

static bool
has_server(const char *bin)
{
    char path[SEA_PATH_MAX];

    return snprintf(path, sizeof(path), "%s/initdb", bin) < (int)sizeof(path) &&
           access(path, X_OK) == 0;
}

static enum sea_status
find_bin(struct sea_cluster *cluster, struct sea_err *err)
{
    const char *patterns[] = { "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
                               "/usr/local/pgsql/bin", "/usr/bin" };
    int best = -1;
    size_t i, j;
    glob_t found;

    for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]) && best < 0; i++) {
        if (glob(patterns[i], 0, NULL, &found) != 0)
            continue;
        for (j = 0; j < found.gl_pathc; j++) {
            int version = bin_version(found.gl_pathv[j]);

            if ((version && version < VERSION_MIN) || version <= best ||
                !has_server(found.gl_pathv[j]))
                continue;
            best = version;
            snprintf(cluster->bin, sizeof(cluster->bin), "%s", found.gl_pathv[j]);
        }
        globfree(&found);
    }
    if (best >= 0)
        return SEA_OK;
    sea_fail(err, SEA_E_SERVICE, "found no PostgreSQL server of version %d or newer", VERSION_MIN);
    sea_hint(err, "Install package postgresql-15, or name a running server in SEA_DATABASE_URL.");
    return SEA_E_SERVICE;
}

/* Whoever may write there could put a server of their own in the place of ours. */
static enum sea_status
check_moved(const char *moved, struct sea_err *err)
{
    struct stat st;

    if (lstat(moved, &st))
        return errno == ENOENT ? SEA_OK : sea_fail_errno(err, "could not look at \"%s\"", moved);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return sea_fail(err, SEA_E_SERVICE, "folder \"%s\" is not ours alone to write to", moved);
    return SEA_OK;
}

/* The data lie, or will lie, where the server's user comes to, and DIR/pg leads there. A link that
 * is there already counts, wherever it leads: the folder may have been moved since. */
static enum sea_status
find_moved(struct sea_cluster *cluster, const char *hash, struct sea_err *err)
{
    char moved[80], target[84] = "";
    ssize_t n = readlink(cluster->data, target, sizeof(target) - 1);
    enum sea_status status;
    struct stat st;

    if (n <= 0)         /* not below /var/tmp: what is old there is removed by the system */
        snprintf(target, sizeof(target), "/var/lib/sea-%.12s/pg", hash);
    if (n == (ssize_t)sizeof(target) - 1 || target[0] != '/' || strlen(target) < 4)
        return sea_fail(err, SEA_E_SERVICE, "link \"%s\" does not lead to a folder like "
                        "/var/lib/sea-.../pg", cluster->data);
    if (n <= 0 && lstat(cluster->data, &st) == 0) {
        sea_fail(err, SEA_E_SERVICE, "the server's user cannot come to \"%s\"", cluster->data);
        sea_hint(err, "Move it to \"%s\", or the data folder to where that user can.", target);
        return SEA_E_SERVICE;
    }
    snprintf(moved, sizeof(moved), "%.*s", (int)(strrchr(target, '/') - target), target);
    status = check_moved(moved, err);
    if (status)
        return status;
    snprintf(cluster->data, sizeof(cluster->data), "%s", target);
    snprintf(cluster->log, sizeof(cluster->log), "%s/pg.log", moved);
    snprintf(cluster->socket, sizeof(cluster->socket), "%s/run", moved);
    return SEA_OK;
}

/* What find_moved only named: the folder, and the link that leads to it. */
static enum sea_status
make_moved(const struct sea_cluster *cluster, struct sea_err *err)
{
    char link[SEA_PATH_MAX], moved[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(link, cluster->dir, "pg", err);

    if (status || strcmp(link, cluster->data) == 0)
        return status;
    snprintf(moved, sizeof(moved), "%s", cluster->data);
    *strrchr(moved, '/') = 0;
    if (mkdir(moved, 0711) && errno != EEXIST)
        return sea_fail_errno(err, "could not create folder \"%s\"", moved);
    status = check_moved(moved, err);
    if (!status && symlink(cluster->data, link) && errno != EEXIST)
        status = sea_fail_errno(err, "could not link \"%s\"", link);
    return status;
}

static enum sea_status
choose_paths(struct sea_cluster *cluster, struct sea_err *err)
{
    char hash[SEA_SHA256_TEXT];
    enum sea_status status;

    sea_hash_bytes(cluster->dir, strlen(cluster->dir), hash);
    status = sea_path_join(cluster->data, cluster->dir, "pg", err);
    if (!status && !is_reachable(cluster, cluster->dir))
        return find_moved(cluster, hash, err);
    if (!status)
        status = sea_path_join(cluster->log, cluster->dir, "pg.log", err);
    if (status)
        return status;
    /* Quotes and commas mean something in settings and connection strings. */
    if (strlen(cluster->dir) + 4 + SOCKET_FILE_MAX < sizeof(cluster->socket) &&
        !strpbrk(cluster->dir, "'\",\\"))
        snprintf(cluster->socket, sizeof(cluster->socket), "%.*s/run",
                 (int)sizeof(cluster->socket) - 5, cluster->dir);
    else
        snprintf(cluster->socket, sizeof(cluster->socket), "/tmp/sea-%lu-%.12s",
                 (unsigned long)geteuid(), hash);
    return SEA_OK;
}

/* Without links where it exists, else only absolute. */
static enum sea_status
resolve(struct sea_cluster *cluster, const char *dir, struct sea_err *err)
{
    char cwd[SEA_PATH_MAX];

    if (realpath(dir, cluster->dir))
        return SEA_OK;
    if (errno != ENOENT || !getcwd(cwd, sizeof(cwd)))
        return sea_fail_errno(err, "could not resolve folder \"%s\"", dir);
    return sea_path_join(cluster->dir, cwd, dir, err);
}

/* What root finds of another user's is run as that user: nobody else can read it. */
static void
choose_owner(struct sea_cluster *cluster)
{
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX];
    struct stat st;

    if (geteuid() == 0 && !sea_path_join(path, cluster->dir, "pg", &ignored) &&
        stat(path, &st) == 0 && st.st_uid != 0) {
        cluster->uid = st.st_uid;
        cluster->gid = st.st_gid;
    }
}

enum sea_status
sea_cluster_open(struct sea_cluster *cluster, const char *dir, struct sea_err *err)
{
    enum sea_status status;

    *cluster = (struct sea_cluster){ 0 };
    choose_user(cluster);
    status = resolve(cluster, dir, err);
    if (!status)
        choose_owner(cluster);
    if (!status)
        status = find_bin(cluster, err);
    if (!status)
        status = choose_paths(cluster, err);
    if (!status)
        snprintf(cluster->url, sizeof(cluster->url), "host='%s' port=5432 user=sea dbname=sea",
                 cluster->socket);
    return status;
}

/* ---- programs of PostgreSQL ---- */

/* Runs BIN/argv[0] as the server's user, output to the log file. It ends with us; a daemon that it
 * starts outlives us and holds none of our descriptors. argv[0] becomes the whole path: initdb and
 * pg_ctl look for their neighbours there, and otherwise in PATH, where Debian has none. */
static enum sea_status
run_program(struct sea_cluster *cluster, const char **argv, int *exit_status,
            struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, cluster->bin, argv[0], err);
    int how = 0;
    pid_t pid, parent;

    if (status)
        return status;
    parent = getpid();
    pid = fork();
    if (pid < 0)
        return sea_fail_errno(err, "could not start \"%s\"", path);
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        int log, fd;

        if (!become(cluster) || chdir("/") || setsid() < 0)
            _exit(126);
        /* After become, which takes the signal back. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(126);
        log = open(cluster->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
            _exit(126);
        for (fd = 3; fd < 256; fd++)
            close(fd);
        unsetenv("PGDATA");
        unsetenv("PGHOST");
        unsetenv("PGPORT");
        setenv("LC_ALL", "C", 1);
        argv[0] = path;
        execv(path, (char *const *)(void *)argv);
        _exit(127);
    }
    while (waitpid(pid, &how, 0) < 0)
        if (errno != EINTR)
            return sea_fail_errno(err, "could not wait for \"%s\"", path);
    *exit_status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    return SEA_OK;
}

/* The end of the log, in one line, for messages. */
static void
log_tail(const struct sea_cluster *cluster, char *out, size_t room)
{
    FILE *from = fopen(cluster->log, "r");
    char text[OUTPUT_MAX] = "";
    size_t n = 0, i, start;

    out[0] = 0;
    if (!from)
        return;
    if (fseek(from, -(long)(sizeof(text) - 1), SEEK_END) != 0)
        rewind(from);
    n = fread(text, 1, sizeof(text) - 1, from);
    fclose(from);
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    start = n > 250 ? n - 250 : 0;
    for (i = start; i < n && i - start + 1 < room; i++)
        out[i - start] = text[i] == '\n' ? ' ' : text[i];
    out[i - start] = 0;
}

static enum sea_status
fail_program(const struct sea_cluster *cluster, const char *what, int exit_status,
             struct sea_err *err)
{
    char tail[300];

    log_tail(cluster, tail, sizeof(tail));
    sea_fail(err, SEA_E_SERVICE, "could not %s (exit status %d): %s", what, exit_status, tail);
    sea_hint(err, "\"%s\" holds all that it said.", cluster->log);
    return SEA_E_SERVICE;
}

/* A folder that only the server's user may enter. */
static enum sea_status
make_folder(const struct sea_cluster *cluster, const char *path, struct sea_err *err)
{
    struct stat st;

    if (mkdir(path, 0700) && errno != EEXIST)
        return sea_fail_errno(err, "could not create folder \"%s\"", path);
    if (lstat(path, &st) || !S_ISDIR(st.st_mode))
        return sea_fail(err, SEA_E_SERVICE, "\"%s\" is not a folder", path);
    /* Root could take one over that somebody else left in /tmp, whoever has it open. */
    if (st.st_uid != cluster->uid &&
        (st.st_uid != geteuid() || chown(path, cluster->uid, cluster->gid)))
        return sea_fail(err, SEA_E_SERVICE, "folder \"%s\" belongs to user %lu, need user %lu",
                        path, (unsigned long)st.st_uid, (unsigned long)cluster->uid);
    if ((st.st_mode & 077) && chmod(path, 0700))
        return sea_fail_errno(err, "could not protect folder \"%s\"", path);
    return SEA_OK;
}

static enum sea_status
make_log(const struct sea_cluster *cluster, struct sea_err *err)
{
    int fd = open(cluster->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    enum sea_status status = SEA_OK;

    if (fd < 0)
        return sea_fail_errno(err, "could not create \"%s\"", cluster->log);
    if (geteuid() == 0 && fchown(fd, cluster->uid, cluster->gid))
        status = sea_fail_errno(err, "could not give \"%s\" to the server's user", cluster->log);
    close(fd);
    return status;
}

static enum sea_status
make_cluster(struct sea_cluster *cluster, struct sea_err *err)
{
    /* Written durably: the database is the only memory of the service. Connections are few:
     * two per worker, one per scheduler and client. */
    static const char settings[] =
        "listen_addresses = ''\nmax_connections = 100\nshared_buffers = '64MB'\n"
        "max_wal_size = '512MB'\nfsync = on\nsynchronous_commit = on\nfull_page_writes = on\n"
        "timezone = 'UTC'\nlog_timezone = 'UTC'\nlog_line_prefix = '%m [%p] %a '\n"
        "idle_in_transaction_session_timeout = '60s'\njit = off\n"
        "unix_socket_permissions = 0700\n";
    char path[SEA_PATH_MAX], fresh[SEA_PATH_MAX + 8];
    const char *argv[] = { "initdb", "-D", fresh, "-U", "sea", "-E", "UTF8", "--locale=C",
                           "--auth=trust", "--no-instructions", NULL };
    enum sea_status status;
    int exit_status;
    FILE *to;

    status = sea_path_join(path, cluster->data, "PG_VERSION", err);
    if (status || sea_file_exists(path))
        return status;
    /* Under another name until it is whole: an interrupted one must not look finished. */
    snprintf(fresh, sizeof(fresh), "%s.new", cluster->data);
    status = sea_dir_remove(fresh, err);
    if (!status)
        status = make_folder(cluster, fresh, err);
    if (!status)
        status = run_program(cluster, argv, &exit_status, err);
    if (!status && exit_status)
        status = fail_program(cluster, "create a PostgreSQL cluster", exit_status, err);
    if (!status)
        status = sea_path_join(path, fresh, "postgresql.conf", err);
    if (status)
        return status;
    to = fopen(path, "a");
    if (!to || fputs(settings, to) < 0)
        status = sea_fail_errno(err, "could not write \"%s\"", path);
    if (to && fclose(to) && !status)
        status = sea_fail_errno(err, "could not write \"%s\"", path);
    if (!status && rename(fresh, cluster->data))
        status = sea_fail_errno(err, "could not rename \"%s\" to \"%s\"", fresh, cluster->data);
    return status;
}

bool
sea_cluster_is_running(struct sea_cluster *cluster)
{
    const char *argv[] = { "pg_ctl", "status", "-s", "-D", cluster->data, NULL };
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX];
    int exit_status = 1;

    return !sea_path_join(path, cluster->data, "postmaster.pid", &ignored) &&
           access(path, F_OK) == 0 && !run_program(cluster, argv, &exit_status, &ignored) &&
           exit_status == 0;
}

/* Connects to the maintenance database and creates database sea where it is missing. */
static enum sea_status
make_database(struct sea_cluster *cluster, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    struct sea_db *db = NULL;
    enum sea_status status;
    bool exists = false;
    char url[256];

    snprintf(url, sizeof(url), "host='%s' port=5432 user=sea dbname=postgres", cluster->socket);
    status = sea_db_open(&(struct sea_db_options){ .url = url }, &db, err);
    if (!status)
        status = sea_db_query_one(db, "database_exists", SEA_NO_PARAMS, &rows, err);
    if (!status) {
        exists = sea_rows_bool(rows, 0, "yes", err);
        status = err->status;
    }
    sea_rows_close(rows);
    if (!status && !exists)
        status = sea_db_script(db, "database_create", err);
    /* 42P04: another program was faster. */
    if (status && strcmp(err->cause, "sqlstate 42P04") == 0) {
        sea_err_clear(err);
        status = SEA_OK;
    }
    sea_db_close(db);
    return status;
}

/* A folder that did not exist may come to lie elsewhere than it was named, behind a link. */
static enum sea_status
make_dir(struct sea_cluster *cluster, struct sea_err *err)
{
    char dir[SEA_PATH_MAX];
    enum sea_status status = SEA_OK;

    if (!sea_dir_exists(cluster->dir)) {
        snprintf(dir, sizeof(dir), "%s", cluster->dir);
        status = sea_dir_create(dir, err);
        if (!status)
            status = sea_cluster_open(cluster, dir, err);
    }
    return status ? status : make_moved(cluster, err);
}

/* One at a time makes the cluster and starts it. *fd: what to close afterwards. */
static enum sea_status
take_turn(const struct sea_cluster *cluster, int *fd, struct sea_err *err)
{
    int64_t until = sea_clock_ms() + TURN_MS;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, cluster->dir, "pg.lock", err);

    if (status)
        return status;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return sea_fail_errno(err, "could not open \"%s\"", path);
    while (flock(*fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return sea_fail_errno(err, "could not lock \"%s\"", path);
        if (sea_clock_ms() > until)
            return sea_fail(err, SEA_E_SERVICE, "another program has been starting PostgreSQL in "
                            "\"%s\" for %d s", cluster->dir, TURN_MS / 1000);
        sea_clock_sleep_ms(LOOK_MS);
    }
    return SEA_OK;
}

enum sea_status
sea_cluster_start(struct sea_cluster *cluster, struct sea_err *err)
{
    /* Where the socket lies depends on where the folder lies, which may have been moved: no
     * file says it. pg_ctl gives the option to a shell; the path has no quotes. */
    char place[sizeof(cluster->socket) + 8];
    const char *argv[] = { "pg_ctl", "start", "-w", "-s", "-t", "60", "-D", cluster->data,
                           "-l", cluster->log, "-o", place, NULL };
    enum sea_status status;
    int exit_status, turn = -1;

    status = make_dir(cluster, err);
    if (!status)
        status = take_turn(cluster, &turn, err);
    snprintf(place, sizeof(place), "-k '%s'", cluster->socket);
    if (!status)
        status = make_log(cluster, err);
    if (!status)
        status = make_cluster(cluster, err);
    if (!status)
        status = make_folder(cluster, cluster->socket, err);
    if (!status && !sea_cluster_is_running(cluster)) {
        status = run_program(cluster, argv, &exit_status, err);
        /* Somebody else may have started it at the same moment. */
        if (!status && exit_status && !sea_cluster_is_running(cluster))
            status = fail_program(cluster, "start PostgreSQL", exit_status, err);
    }
    if (!status)
        status = make_database(cluster, err);
    if (turn >= 0)
        close(turn);
    if (status)
        sea_context(err, "while starting PostgreSQL in \"%s\"", cluster->data);
    return status;
}

enum sea_status
sea_cluster_stop(struct sea_cluster *cluster, enum sea_cluster_stop how, struct sea_err *err)
{
    const char *argv[] = { "pg_ctl", "stop", "-w", "-s", "-t", "60", "-D", cluster->data, "-m",
                           how == SEA_CLUSTER_FAST ? "fast" : "immediate", NULL };
    enum sea_status status;
    int exit_status;

    if (!sea_cluster_is_running(cluster))
        return SEA_OK;
    status = run_program(cluster, argv, &exit_status, err);
    if (!status && exit_status && sea_cluster_is_running(cluster))
        status = fail_program(cluster, "stop PostgreSQL", exit_status, err);
    return status;
}
