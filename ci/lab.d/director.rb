# frozen_string_literal: true

require_relative 'job_templates'
require_relative 'manifest'
require_relative 'agent'

module LabParts
  # What BOSH's director does: renders, and drives the agents in its documented order.
  class Director
    # What becomes of VM, instance and deployment after a stop, as pre-stop is told.
    NEXT = { keep: %w[keep keep keep], recreate: %w[delete keep keep], scale_in: %w[delete delete keep], delete: %w[delete delete delete] }
           .transform_values { |states| %w[VM INSTANCE DEPLOYMENT].map { |n| "BOSH_#{n}_NEXT_STATE" }.zip(states).to_h }.freeze

    def initialize(lab, state)
      @lab, @state = lab, state
      file = state['manifest'] || File.join(Lab::RELEASE, 'templates', 'deployment.yml')
      @manifest = Manifest.new(file, ops: state['ops'], variables_file: File.join(lab.dir, 'variables.yml'))
    end

    # The instances of the manifest; those that are there already keep their id.
    def instances = @instances ||= expected_instances

    # New VMs are all made first; then one instance after the other, the bootstrap instance first.
    def deploy(start:, force:)
      vms = @lab.vms
      fresh = vms.reject(&:up?)
      fresh.map { |v| Thread.new { v.boot } }.each(&:join)
      vms.each do |vm|
        rendered = render(vm.instance)
        agent = Agent.new(vm)
        next if !force && agent.applied?(rendered) && agent.running?
        take_down(vm) unless fresh.include?(vm)
        agent.apply(rendered)
        bring_up(vm, rendered: nil) if start
      end
      post_deploy(vms) if start
    end

    # `await: false` leaves out what waits for the cluster: post-start and post-deploy.
    def start(vms, parallel: false, await: true, **)
      in_order(vms, parallel) do |vm|
        gone = !vm.up?
        vm.boot
        bring_up(vm, rendered: gone ? render(vm.instance) : nil, await: await)
      end
      post_deploy(vms) if await
    end

    # `hard`: the VMs are deleted, their disks stay.
    def stop(vms, parallel: false, skip_drain: false, hard: false)
      in_order(vms, parallel) do |vm|
        take_down(vm, skip_drain: skip_drain, becomes: hard ? :recreate : :keep)
        vm.remove if hard
      end
    end

    # Drained and deleted, all at once: instances that a deployment no longer has, or all of it.
    def retire(vms, becomes:)
      in_order(vms, true) do |vm|
        take_down(vm, becomes: becomes) if vm.up?
        vm.remove
        vm.remove_disk
      end
    end

    # apply, pre-start, start, wait until running, post-start
    def bring_up(vm, rendered: render(vm.instance), await: true)
      agent = Agent.new(vm)
      agent.apply(rendered) if rendered
      agent.run_script('pre-start')
      agent.start
      agent.wait_running
      agent.run_script('post-start') if await
    end

    # pre-stop (still monitored), drain, stop, post-stop
    def take_down(vm, skip_drain: false, becomes: :keep)
      agent = Agent.new(vm)
      unless skip_drain
        agent.run_script('pre-stop', env: NEXT.fetch(becomes))
        agent.drain
      end
      agent.unmonitor
      agent.stop
      agent.run_script('post-stop')
      # As unmounting it does, which comes before a VM is deleted.
      vm.exec('sync', '-f', '/var/vcap/store')
    end

    def render(instance)
      group = @manifest.groups.find { |g| g['name'] == instance['group'] }
      group.fetch('jobs').to_h do |job|
        renderer = JobTemplates::Job.new(Lab::RELEASE, job.fetch('name'))
        files = renderer.destinations.to_h do |file|
          [file, renderer.render(file, properties: properties(job), links: links(renderer, group), spec: spec(instance))]
        end
        [job['name'], files]
      end
    rescue StandardError => e
      raise Failed, "rendering for #{instance['name']}: #{e.message}"
    end

    private

    # `--nodes` counts the members; other groups (proxies, errands on VMs of their own) are as the manifest says.
    def expected_instances
      taken = @state['instances'].map { |i| i['number'] }
      @manifest.groups.flat_map do |group|
        Array.new(members?(group) && @state['nodes'] || group.fetch('instances')) do |index|
          known(group, index) || made(group, index, (0..).find { |n| !taken.include?(n) }).tap { |i| taken << i['number'] }
        end
      end
    end

    def members?(group) = jobs_of(group).include?('mariadb')

    def known(group, index)
      @state['instances'].find { |i| i['name'] == "#{group['name']}/#{index}" }&.merge('jobs' => jobs_of(group))
    end

    def jobs_of(group) = group['jobs'].map { |j| j['name'] }

    def made(group, index, number)
      azs = group['azs'] || ['z1']
      { 'name' => "#{group['name']}/#{index}", 'group' => group['name'], 'index' => index, 'id' => SecureRandom.uuid, 'number' => number,
        'az' => azs[index % azs.size], 'address' => "#{Network::PREFIX}#{Network::FIRST + number}", 'bootstrap' => index.zero?,
        'jobs' => jobs_of(group), 'deployment' => @manifest.deployment, 'disk' => (@state['disk'] if members?(group)) }
    end

    def in_order(vms, parallel, &block)
      return vms.each(&block) unless parallel
      # Whatever fails on one of them, nothing is still going on with the others afterwards.
      threads = vms.map { |v| Thread.new { block.call(v) } }
      threads.each { |t| t.join rescue nil }
      threads.each(&:join)
    end

    def post_deploy(vms) = vms.map { |v| Thread.new { Agent.new(v).run_script('post-deploy') } }.each(&:join)

    # `--property job.name=value` wins over the manifest; a test's way to an ops file of one line.
    def properties(job)
      own = Marshal.load(Marshal.dump(job['properties'] || {}))
      @state['properties'].each do |path, value|
        name, *parents, leaf = path.split('.')
        parents.reduce(own) { |node, key| node[key] ||= {} }[leaf] = value if name == job['name']
      end
      own
    end

    def spec(instance)
      instance.slice('deployment', 'index', 'bootstrap', 'id', 'az', 'address')
              .merge('name' => instance['group'], 'job' => { 'name' => instance['group'] }, 'ip' => instance['address'], 'networks' => {}, 'persistent_disk' => 1024)
    end

    # What a job consumes, from the jobs that provide it: the declared properties only.
    def links(renderer, _group)
      renderer.consumes.to_h { |name| [name, link(name)] }.compact
    end

    def link(name)
      @manifest.groups.each do |group|
        group['jobs'].each do |job|
          provider = JobTemplates::Job.new(Lab::RELEASE, job['name'])
          declared = provider.provides[name] or next
          # In the director's order.
          members = instances.select { |i| i['group'] == group['name'] }.sort_by { |i| [i['bootstrap'] ? 0 : 1, i['az'], i['index']] }
          shared = provider.shared(declared, properties(job))
          return { 'instances' => members.map { |i| i.slice('index', 'id', 'az', 'address', 'bootstrap').merge('name' => i['group'], 'properties' => shared) }, 'properties' => shared }
        end
      end
      nil
    end
  end
end
