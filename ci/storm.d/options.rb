# frozen_string_literal: true

module Storm
  SAME = 5
  PASSWORD = 'storm'

  # What a cluster is like while faults go over it. Five seeds in a row have the same, so that they can have the same
  # lab; making one takes longer than most seeds.
  Options = Struct.new(:members, :sst, :tls, :arbitrator, :proxy, :recovery, :own_ops, :own_properties, keyword_init: true) do
    # What a user gives goes over what is drawn.
    def self.draw(seed, members: nil, ops: [], properties: {})
      random = Random.new(seed / SAME)
      count = members || [3, 3, 3, 3, 3, 2, 2, 4, 5].sample(random: random)
      tls = random.rand < 0.25
      new(members: count, sst: !tls && random.rand < 0.5 ? 'rsync' : 'mariabackup', tls: tls,
          arbitrator: random.rand < 0.5 && count == 2, proxy: random.rand < 0.25,
          recovery: random.rand < 0.15 ? 'errand' : 'provable', own_ops: ops, own_properties: properties)
    end

    def ops
      names = ['small-footprint', ('rsync-sst' if sst == 'rsync'), ('tls' if tls), ('arbitrator' if arbitrator), ('proxy' if proxy)]
      names.compact.map { |name| File.join(Lab::RELEASE, "templates/ops/#{name}.yml") } + own_ops
    end

    # Bounds are as much shorter than a deployment's as the storm is shorter than a night.
    def properties
      { 'mariadb.auto_recovery' => recovery, 'mariadb.restore_timeout' => '20s', 'mariadb.join_stall_timeout' => '20s',
        'mariadb.start_timeout' => '60s', 'mariadb.stop_timeout' => '30s', 'mariadb.drain.timeout' => '60s', 'mariadb.drain.grace' => '1s',
        'mariadb.drain.patience' => '5s', 'mariadb.seeded_databases' => ['storm'],
        'mariadb.seeded_users.storm' => { 'role' => 'schema', 'databases' => ['storm'], 'password' => PASSWORD } }.merge(own_properties)
    end

    def to_s
      ["#{members} members", sst, ('TLS' if tls), ('arbitrator' if arbitrator), ('proxy' if proxy), "auto_recovery #{recovery}", *own_ops, *own_properties.map { |path, value| "#{path}=#{value}" }].compact.join(', ')
    end
  end
end
